"""Adds the documentation of a release to a folder with those of all releases, for Material's selector.

python -m development.releases.versioned_site BUILT-SITE FOLDER VERSION

FOLDER gets `1.1/` for 1.1.x, `versions.json` in the format of mike, and an `index.html` that leads to the newest.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

LATEST = "latest"
_REDIRECT = """<!doctype html>
<html lang="en">
<title>Innkeeper</title>
<meta http-equiv="refresh" content="0; url={folder}/index.html">
<a href="{folder}/index.html">The newest release</a>
</html>
"""


def add(built: Path, folder: Path, release: str) -> list[dict[str, Any]]:
    """Replaces the documentation of that major and minor version. Returns the versions, newest first."""
    name = _name(release)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "versions.json"
    known = json.loads(file.read_text("utf-8")) if file.exists() else []
    titles = {one["version"]: one["title"] for one in known} | {name: release}
    ordered = sorted(titles, key=_order, reverse=True)
    versions = [
        {"version": one, "title": titles[one], "aliases": [LATEST] if one == ordered[0] else []} for one in ordered
    ]
    shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(built, folder / name)
    file.write_text(json.dumps(versions, indent=1) + "\n", "utf-8")
    (folder / "index.html").write_text(_REDIRECT.format(folder=ordered[0]), "utf-8")
    return versions


def _name(release: str) -> str:
    found = re.match(r"\d+\.\d+", release)
    if found is None:
        raise ValueError(f"{release} is not a version such as 1.1.0")
    return found[0]


def _order(name: str) -> tuple[int, ...]:
    return tuple(int(one) for one in name.split("."))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    add(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
