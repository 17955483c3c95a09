"""`region approve ID`: show what a difference is and what would be done about it, ask, and have it done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from common.errors import InnkeeperError, WrongState
from innkeeper.arguments import Usage
from innkeeper.http import Api, Body
from innkeeper.profiles import Profile
from innkeeper.terminal import Terminal

USAGE = "usage: innkeeper [--profile PROFILE] region approve ID [--yes]"
DONE, REFUSED = 0, 1
_SHOWN = ("kind", "name", "host_name", "since", "found", "expected", "remedy")


async def approve(words: Sequence[str], profile: Profile, terminal: Terminal, *, yes: bool) -> int:
    """0 when it was done, also before this; 1 when whoever was asked said no. Raises what the region refuses, Usage."""
    if len(words) != 1 or not words[0].isascii() or not words[0].isdigit():
        raise Usage(USAGE)
    api, path = Api(profile.url, profile.key), f"differences/{words[0]}/"
    difference = (await api.get(path)).json()
    if not isinstance(difference, dict) or "etag" not in difference:
        raise InnkeeperError(
            "The region's answer is no difference that can be approved: is it older than this command?"
        )
    _tell(difference, terminal)
    if difference.get("mended"):
        return _told_done(difference, terminal)
    if difference["mended_by"] == "nobody":
        raise WrongState("There is nothing to approve: it is only told.")
    if not yes and not await _agreed(terminal):
        terminal.note("Nothing was done.")
        return REFUSED
    fields = [("etag", difference["etag"]), ("found", difference["found"])]
    done = (await api.send("POST", path, query=[("op", "approve")], body=Body(fields=fields))).json()
    return _told_done(done, terminal)


def _told_done(difference: Mapping[str, Any], terminal: Terminal) -> int:
    terminal.note(f"Done: {difference['mended']}.") if terminal.wants_table else terminal.show(difference, "difference")
    return DONE


def _tell(difference: Mapping[str, Any], terminal: Terminal) -> None:
    """To standard error: what is printed on standard output is what was done."""
    for name in _SHOWN:
        if difference.get(name) is not None:
            terminal.note(f"{name.replace('_', ' ')}: {difference[name]}")
    if difference.get("data_at_risk"):
        terminal.note("Data may be lost by it, or by a mistake about it.")


async def _agreed(terminal: Terminal) -> bool:
    """Only a whole `yes` agrees. Raises Usage where nobody can be asked."""
    if not terminal.stdin.isatty():
        raise Usage(f"Nobody can be asked here: --yes approves without asking.\n{USAGE}")
    terminal.note("What the remedy says will be done. Type yes to approve it:")
    return (await _line(terminal.stdin)).strip().lower() == "yes"


async def _line(stdin: TextIO) -> str:
    """What is typed next; an interrupt ends the waiting."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[None] = loop.create_future()
    loop.add_reader(stdin, typed.cancel)
    try:
        await asyncio.wait([typed])
    finally:
        loop.remove_reader(stdin)
    return stdin.readline()
