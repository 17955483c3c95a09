"""Before a command that deletes: shows what goes and what stays, and asks for the name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from common.units import BYTES_PER_GB
from innkeeper.terminal import Terminal


async def is_confirmed(plan: Mapping[str, Any], terminal: Terminal) -> bool:
    """Shows the plan of a dry run and returns whether the user types its name in full."""
    for line in plan_lines(plan):
        terminal.note(line)
    name: str = plan["name"]
    terminal.note(f"Type {name} to remove it:")
    return (await read_line(terminal.stdin)).strip() == name


def plan_lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """The guests that the removal of a host deletes, with their volumes, and those that it keeps."""
    deleted, kept = plan["deleted"], plan["kept"]
    yield f"The removal of {plan['name']} deletes {_number(deleted)}{':' if deleted else ''}"
    for guest in deleted:
        yield f"  {_guest(guest)}"
        for volume in guest["volumes"]:
            yield f"    {volume['storage_pool']}/{volume['name']}, {volume['size'] / BYTES_PER_GB:.1f} GB"
    yield f"and keeps {_number(kept)}{':' if kept else ''}"
    for guest in kept:
        yield f"  {_guest(guest)}"


async def read_line(stdin: TextIO) -> str:
    """Reads without blocking the event loop, so that an interrupt ends it."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(stdin, readable.cancel)
    try:
        await asyncio.wait([readable])
    finally:
        loop.remove_reader(stdin)
    return stdin.readline()


def _number(guests: list[Any]) -> str:
    return f"{len(guests) or 'no'} VM{'' if len(guests) == 1 else 's'}"


def _guest(guest: Mapping[str, Any]) -> str:
    kind = "foreign VM" if guest["system_id"] is None else "adopted machine" if guest["adopted"] else "machine"
    locked = ", locked" if guest.get("locked") else ""
    return f"{guest['name']} ({kind} on {guest['host']}, power {guest['power_state']}{locked})"
