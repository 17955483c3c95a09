"""Commands that `regiond` carries out on the region's machine; they use its settings, not the API."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import BadSettings
from innkeeper.output.terminal import Terminal

_COMMANDS = ("backup", "verify-backup", "restore", "recovered")


def is_for_regiond(argv: Sequence[str]) -> bool:
    """Whether `region COMMAND …` is a command of regiond, which also reads its options."""
    return argv[:1] == ["region"] and argv[1:2] != [] and argv[1] in _COMMANDS


def run_regiond(argv: Sequence[str], environment: Mapping[str, str], terminal: Terminal) -> int:
    """Returns the exit status of regiond with these arguments; it prompts on the terminal or reads from a pipe.

    Raises BadSettings without a regiond.
    """
    import subprocess  # noqa: PLC0415  # only these commands start a program

    regiond = Path(sys.prefix) / "bin" / "regiond"
    if not regiond.exists():
        raise BadSettings(f"There is no {regiond}. Run this command on the region's machine, from its installation.")
    terminal.out.flush()
    return subprocess.run([str(regiond), *argv], check=False, env=dict(environment)).returncode  # noqa: S603  # our own program
