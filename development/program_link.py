"""Puts `innkeeper` on the PATH of `./dev run`'s user: a link to the command in the virtual environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

NAME = "innkeeper"


def folder_of(environment: Mapping[str, str], *, is_root: bool) -> Path:
    """`/usr/local/bin` for root, `~/.local/bin` for others."""
    return Path("/usr/local/bin") if is_root else Path(environment.get("HOME") or "~").expanduser() / ".local/bin"


def ensure(program: Path, folder: Path, environment: Mapping[str, str]) -> str:
    """Links the program if the folder is on the PATH and has no other file of that name. Idempotent.

    Returns a sentence for the user: how to call the program, or the command that makes it callable. A link to
    another checkout's program is another file; a broken one is replaced. The link remains when the run ends.
    """
    link = folder / NAME
    on_path = [Path(each) for each in environment.get("PATH", "").split(os.pathsep) if each]
    if program.parent in on_path:
        return f"{NAME} is {program}"
    if folder in on_path:
        if _is_link_to(link, program) or _linked(link, program):
            return f"{NAME} is {link}, a link to {program}; it remains after the run"
        return f'{link} is another file; for this checkout: export PATH="{program.parent}:$PATH"'
    return f'for innkeeper without a path: export PATH="{program.parent}:$PATH"'


def _is_link_to(link: Path, program: Path) -> bool:
    return link.is_symlink() and link.readlink() == program


def _linked(link: Path, program: Path) -> bool:
    """Creates the link; False if there is a file, or the folder cannot be written."""
    try:
        if link.is_symlink() and not link.exists():
            link.unlink()
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(program)
    except OSError:
        return False
    return True
