"""Makes a virtual environment fit to be packaged: programs start at their later path, nothing varies.

python -m development.debian.environment FOLDER LATER_FOLDER
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

PROGRAMS = frozenset({"innkeeper", "regiond", "rackd"})
# What pip records of an installation: hashes of programs that change here, and where the packages came from.
_RECORDS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


def prepare(environment: Path, later: str) -> None:
    """Keeps Innkeeper's programs and the interpreter in `bin`, and removes what names the folder of the build."""
    for file in (environment / "bin").iterdir():
        if file.name in PROGRAMS:
            _start_at(file, later)
        elif not file.name.startswith("python") or not file.is_symlink():
            file.unlink()
    for unused in ("include", "share"):
        shutil.rmtree(environment / unused, ignore_errors=True)
    settings = environment / "pyvenv.cfg"
    lines = settings.read_text(encoding="utf-8").splitlines()
    settings.write_text("".join(f"{line}\n" for line in lines if not line.startswith("command")), encoding="utf-8")
    for folder in environment.glob("lib/*/site-packages/*.dist-info"):
        for name in _RECORDS:
            (folder / name).unlink(missing_ok=True)


def _start_at(program: Path, later: str) -> None:
    """Replaces the first line, which names the interpreter in the folder of the build."""
    text = program.read_text(encoding="utf-8")
    changed = re.sub(r"\A#!\S+/bin/python[\d.]*\n", f"#!{later}/bin/python\n", text)
    if changed == text:
        raise SystemExit(f"{program} does not start with the interpreter of its environment: {text[:200]!r}")
    program.write_text(changed, encoding="utf-8")


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), sys.argv[2])
