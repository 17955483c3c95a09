"""Runs daemons with folders of their own for temporary files, settings and the home directory."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import define

from tests.deployment.processes import Processes


@define(kw_only=True)
class PrivateProcesses(Processes):
    """Their own folders for temporary files and settings; only a file of the region has the database's password."""

    def environment(self) -> dict[str, str]:
        inherited = super().environment()
        ours = {name: value for name, value in inherited.items() if name.startswith("INNKEEPER_")}
        del ours["INNKEEPER_DATABASE"]
        return _own_folders(self.folder) | ours

    def region_environment(self) -> dict[str, str]:
        return {"INNKEEPER_CONFIG": str(self.folder / "regiond.toml")}


def _own_folders(folder: Path) -> dict[str, str]:
    """Variables by which programs find their own folders below `folder`."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
