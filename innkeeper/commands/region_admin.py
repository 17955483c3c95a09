"""`innkeeper region admin create`: the first administrator, by the region's program on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from common.errors import BadSettings
from innkeeper.output.terminal import Terminal


def create_administrator(username: str | None, environment: Mapping[str, str], terminal: Terminal) -> int:
    """Returns the exit status of `regiond admin create`, which prompts for the password or reads it from a pipe.

    Raises BadSettings without a regiond.
    """
    regiond = Path(sys.prefix) / "bin" / "regiond"
    if not regiond.exists():
        raise BadSettings(f"There is no {regiond}. Run this command on the region's machine, from its installation.")
    argv = [str(regiond), "admin", "create"]
    if username is not None:
        argv.append(f"--username={username}")
    terminal.out.flush()
    return subprocess.run(argv, check=False, env=dict(environment)).returncode  # noqa: S603  # our own program
