"""Installs the example of a driver (docs/examples/write-a-driver) as a distribution in a folder of a test."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.installed_drivers import installed_drivers

EXAMPLE = Path(__file__).parents[2] / "docs/examples/write-a-driver"
MODULE = "json_driver"
TYPE = "json"


def install(folder: Path) -> None:
    """Writes the module and its metadata as pip does, with the entry points that its pyproject.toml names."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copy(EXAMPLE / f"{MODULE}.py", folder)
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    header = f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(header)
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines))


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """The driver is installed in this process until the block ends."""
    install(folder)
    sys.path.insert(0, str(folder))
    installed_drivers.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(MODULE, None)
        installed_drivers.cache_clear()
