"""Shows what a command will delete and what it will keep, and asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from common.units import BYTES_PER_GB
from common.words.phrases import number_of
from innkeeper.output.terminal import Terminal

BY_NAME = "name"


async def is_confirmed(
    command: str, plans: Sequence[Mapping[str, Any]], terminal: Terminal, *, objects: int = 1
) -> bool:
    """Shows the plans of dry runs and returns whether the user confirms all of them.

    Where a plan destroys data, the user types its name, or the number of objects if there are several. Otherwise, and
    without a plan (the action has no dry run), `y` is enough.
    """
    for plan in plans:
        for line in plan_lines(command, plan):
            terminal.note(line)
    if not any(plan.get("confirm", BY_NAME) == BY_NAME for plan in plans):
        several = f" {number_of(objects, 'object')}" if objects > 1 else ""
        terminal.note(f"{command}{several}: continue? [y/N]")
        return (await read_line(terminal.stdin)).strip().lower() in ("y", "yes")
    wanted = str(plans[0]["name"]) if objects == 1 else str(objects)
    what = wanted if objects == 1 else f"{wanted}, the number of objects,"
    terminal.note(f"Type {what} to confirm:")
    return (await read_line(terminal.stdin)).strip() == wanted


def confirmed_with(plans: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Returns the fields that a confirmed call is sent with, as its plans say."""
    return tuple(dict.fromkeys(str(name) for plan in plans for name in plan.get("confirmed_with", ())))


def plan_lines(command: str, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yields what the command deletes and keeps, VMs with their volumes and addresses, and its other effects."""
    deleted, kept = plan["deleted"], plan["kept"]
    yield f"{command} {plan['name']}"
    lost = plan.get("lost", ())
    if deleted or _says_that_it_deletes_nothing(plan):
        yield f"  deletes {_number(deleted)}{':' if deleted else ''}"
        for one in deleted:
            yield from _affected(one, with_parts=True)
    if kept:
        yield f"  keeps {_number(kept)}:"
        for one in kept:
            yield from _affected(one, with_parts=False)
    if lost:
        yield f"  ends the records of {_number(lost)} as lost, and touches nothing on the host:"
        for one in lost:
            yield from _affected(one, with_parts=False)
    for certificate in plan.get("certificates", ()):
        yield from _certificate(certificate)
    for effect in plan.get("effects", ()):
        yield f"  {effect}"


def _says_that_it_deletes_nothing(plan: Mapping[str, Any]) -> bool:
    """Returns whether the user is to see that a grave command deletes no VM; effects of others say what is deleted."""
    is_grave = plan.get("confirm", BY_NAME) == BY_NAME and not plan.get("lost")
    return is_grave and ("certificates" in plan or not plan.get("effects"))


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


def _certificate(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"  {'removes' if one['removed'] else 'leaves'} Innkeeper's certificate on the server's trust list:"
    yield f"    {one['fingerprint']}"
    yield f"    {one['explanation']}"


def _number(affected: Sequence[Mapping[str, Any]]) -> str:
    if not affected:
        return "no VMs"
    return number_of(len(affected), "VM" if "power_state" in affected[0] else "record")


def _affected(one: Mapping[str, Any], *, with_parts: bool) -> Iterator[str]:
    if "power_state" not in one:
        yield f"    {one['kind']} {one['name']} (id {one['id']})"
        return
    yield f"    {_guest(one)}"
    if with_parts:
        for volume in one["volumes"]:
            yield f"      {volume['storage_pool']}/{volume['name']}, {volume['size'] / BYTES_PER_GB:.1f} GB"
        for address in one.get("addresses", ()):
            yield f"      address {address}"


def _guest(guest: Mapping[str, Any]) -> str:
    kind = "foreign VM" if guest["system_id"] is None else "adopted machine" if guest["adopted"] else "machine"
    name = guest.get("guest_name") or guest["name"]
    called = f", there called {name}" if name != guest["name"] else ""
    locked = ", locked" if guest.get("locked") else ""
    return f"{guest['name']} ({kind} on {guest['host']}{called}, power {guest['power_state']}{locked})"
