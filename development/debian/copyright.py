"""Prints the file of licences of the Debian packages: Innkeeper's, and that of each Python package in them.

python -m development.debian.copyright ENVIRONMENT < NOTICE
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

_LICENCE_FILES = ("LICEN", "COPYING", "NOTICE", "AUTHORS")
_RULE = "-" * 78


def copyright_file(notice: str, installed: Path) -> str:
    """Returns the text. Raises SystemExit, with the names, if packages state no licence."""
    parts = [notice.rstrip()]
    missing = []
    for folder in sorted(installed.glob("*.dist-info"), key=lambda folder: folder.name.lower()):
        one = PathDistribution(folder)
        if one.name == "innkeeper":
            continue
        licence, files = _licence(one), list(_texts(folder))
        if not licence and not files:
            missing.append(one.name)
        page = one.metadata["Home-page"] or next(iter(one.metadata.get_all("Project-URL", [])), "")
        parts.append("\n".join([_RULE, f"{one.name} {one.version}", page, f"Licence: {licence or 'see below'}"]))
        parts += files
    if missing:
        raise SystemExit(f"These packages state no licence: {', '.join(missing)}")
    return "\n\n".join(parts) + "\n"


def _licence(one: Distribution) -> str:
    """Returns the first line of what the package states."""
    stated = one.metadata["License-Expression"] or one.metadata["License"] or ""
    classifiers = [
        line.rpartition(" :: ")[2] for line in one.metadata.get_all("Classifier", []) if "License ::" in line
    ]
    return next(iter(stated.strip().splitlines()), "") or ", ".join(classifiers)


def _texts(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name.upper().startswith(_LICENCE_FILES):
            yield file.read_text(encoding="utf-8", errors="replace").strip()


if __name__ == "__main__":
    (site_packages,) = Path(sys.argv[1]).glob("lib/*/site-packages")
    print(copyright_file(sys.stdin.read(), site_packages), end="")
