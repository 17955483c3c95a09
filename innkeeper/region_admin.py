"""`innkeeper region admin create`: the first administrator, by the region's program on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import BadSettings
from innkeeper.local_region import state_folders
from innkeeper.terminal import Terminal


def create_administrator(username: str | None, environment: Mapping[str, str], terminal: Terminal) -> int:
    """Returns the exit status of `regiond admin create`, which prompts for the password or reads it from a pipe.

    Root runs it as the owner of the region's state, whom PostgreSQL knows. Raises BadSettings without a regiond.
    """
    regiond = Path(sys.prefix) / "bin" / "regiond"
    if not regiond.exists():
        raise BadSettings(f"There is no {regiond}. Run this command on the region's machine, from its installation.")
    argv = [str(regiond), "admin", "create"]
    if username is not None:
        argv.append(f"--username={username}")
    if not terminal.stdin.isatty():
        argv.append("-")
    terminal.out.flush()
    return subprocess.run(argv, check=False, env=dict(environment), **_as_owner(environment)).returncode  # noqa: S603  # our own program


def _as_owner(environment: Mapping[str, str]) -> dict[str, Any]:
    """The user to run as, if this is root and another user owns the region's state."""
    if os.geteuid() != 0:
        return {}
    for folder in state_folders(environment, Path(sys.prefix)):
        if folder.is_dir():
            owner = folder.stat()
            return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if owner.st_uid else {}
    return {}
