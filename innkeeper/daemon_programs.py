"""Commands that `regiond` or `rackd` carries out on its machine; they use its settings, not the API."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import BadSettings
from innkeeper.output.terminal import Terminal

_COMMANDS: Mapping[str, tuple[str, Sequence[str]]] = {
    "region": ("regiond", ("init", "migrate", "backup", "verify-backup", "restore", "recovered", "upgrade-check")),
    "rack": ("rackd", ("join",)),
}


def daemon_of(argv: Sequence[str]) -> str | None:
    """Returns the daemon that carries out `region COMMAND …` or `rack COMMAND …` and reads its options; else None."""
    daemon, commands = _COMMANDS.get(argv[0], ("", ())) if argv else ("", ())
    return daemon if argv[1:2] != [] and argv[1] in commands else None


def run_daemon(daemon: str, argv: Sequence[str], environment: Mapping[str, str], terminal: Terminal) -> int:
    """Returns the exit status of the daemon's program with these arguments.

    It prompts on the terminal or reads from a pipe. Raises BadSettings where it is not installed.
    """
    import subprocess  # noqa: PLC0415  # only these commands start a program

    program = Path(sys.prefix) / "bin" / daemon
    if not program.exists():
        where = "region" if daemon == "regiond" else "rack"
        raise BadSettings(f"There is no {program}. Run this command on the {where}'s machine, from its installation.")
    terminal.out.flush()
    return subprocess.run([str(program), *argv], check=False, env=dict(environment)).returncode  # noqa: S603  # our own program
