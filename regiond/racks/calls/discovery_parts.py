"""Joins the parts in which a rack sends a discovery run."""

from __future__ import annotations

from contextlib import aclosing

from attrs import evolve

from common.hosts.discovery import Discovery, ImageCopy, MarkerOnOtherMember, OrphanedVolume, Problem
from common.rpc.commands.host_commands import HOST_DISCOVER, HostCall
from common.rpc.link import Link
from common.values import Guest, HostAccess
from common.words.hidden_text import with_hidden_places


async def gather_discovery(link: Link, access: HostAccess, deadline_s: float) -> Discovery | None:
    """Returns None if the rack ends it before the last part. Raises the error of the call."""
    facts, calls, last = None, 0, False
    guests: list[Guest] = []
    on_other_members: list[MarkerOnOtherMember] = []
    problems: list[Problem] = []
    orphaned_volumes: list[OrphanedVolume] = []
    inspected_pools: list[str] = []
    image_copies: list[ImageCopy] = []
    image_pools: list[str] = []
    async with aclosing(link.stream(HOST_DISCOVER, HostCall(access=access), deadline_s=deadline_s)) as parts:
        async for part in parts:
            facts = part.facts or facts
            guests += part.guests
            on_other_members += part.on_other_members
            problems += [evolve(one, message=with_hidden_places(one.message)) for one in part.problems]
            orphaned_volumes += part.orphaned_volumes
            inspected_pools += part.inspected_pools
            image_copies += part.image_copies
            image_pools += part.image_pools
            calls, last = calls + part.calls, last or part.last
    if facts is None or not last:
        return None
    return Discovery(
        facts=facts, guests=tuple(guests), on_other_members=tuple(on_other_members), problems=tuple(problems),
        calls=calls, orphaned_volumes=tuple(orphaned_volumes), inspected_pools=tuple(inspected_pools),
        image_copies=tuple(image_copies), image_pools=tuple(image_pools),
    )  # fmt: skip
