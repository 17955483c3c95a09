"""Looks at hosts for placement: those of one moment are one look at the database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from attrs import frozen

from common.errors import NotFound
from regiond.db.pool import Database
from regiond.machines import offer_store
from regiond.machines.candidates import Look, look
from regiond.machines.together import Together
from regiond.machines.wishes import LARGEST
from regiond.placement.model import HostOffer, Placement, Wish
from regiond.placement.place import Strategy
from regiond.racks.calls import HostCalls

COMPOSE_NAMED = 100  # hosts in the explanation kept with each operation; of more, most are counted only
AT_ONCE = 32


@frozen(kw_only=True)
class Found:
    """Where a machine goes, and the hosts that were looked at by id."""

    placement: Placement
    hosts: Mapping[int, HostOffer]


class Looks:
    """For composes. Machines that are alike, of one moment, are placed one after another, so they do not all go for the
    same best host."""

    def __init__(self, database: Database, calls: HostCalls) -> None:
        self._database = database
        self._calls = calls
        self._at_named: Together[tuple[int, bool], HostOffer] = Together(self._named, most=AT_ONCE)
        self._at_all: Together[tuple[Wish, Strategy], Found | None] = Together(self._all, most=AT_ONCE)

    async def at_host(self, wish: Wish, host_id: int) -> HostOffer:
        """The host, with its NUMA nodes when the wish is about them. Raises NotFound."""
        if not 0 < host_id <= LARGEST:  # no question to ask the database together with others
            raise NotFound("Not Found", host=host_id)
        return await self._at_named.ask((host_id, wish.needs_nodes))

    async def at_all(self, wish: Wish, strategy: Strategy) -> Found | None:
        """None when others of the same moment may get all the room that was seen: look again."""
        return await self._at_all.ask((wish, strategy))

    async def _named(self, asked: Sequence[tuple[int, bool]]) -> Sequence[HostOffer | Exception]:
        with_nodes = any(needs_nodes for _, needs_nodes in asked)
        async with self._database.connection() as db:
            hosts = await offer_store.named(db, {host_id for host_id, _ in asked}, with_nodes=with_nodes)
        return [hosts.get(host_id) or NotFound("Not Found", host=host_id) for host_id, _ in asked]

    async def _all(self, asked: Sequence[tuple[Wish, Strategy]]) -> Sequence[Found | Exception | None]:
        alike: dict[tuple[Wish, Strategy], list[int]] = {}
        for number, one in enumerate(asked):
            alike.setdefault(one, []).append(number)
        # One that cannot be asked at all, for a number too large, fails nobody else.
        looks = await asyncio.gather(
            *(self._look(*one, times=len(numbers)) for one, numbers in alike.items()), return_exceptions=True
        )
        answers: dict[int, Found | Exception | None] = {}
        for numbers, found in zip(alike.values(), looks, strict=True):
            if isinstance(found, Look):
                answers |= dict(zip(numbers, _each(found, len(numbers)), strict=True))
            elif isinstance(found, Exception):
                answers |= dict.fromkeys(numbers, found)
            else:
                raise found
        return [answers[number] for number in range(len(asked))]

    async def _look(self, wish: Wish, strategy: Strategy, *, times: int) -> Look:
        async with self._database.connection() as db:
            return await look(db, wish, self._calls.racks, strategy=strategy, named=COMPOSE_NAMED, times=times)


def _each(found: Look, times: int) -> list[Found | None]:
    """When nothing takes the first one, nothing takes the others."""
    placed = [Found(placement=placement, hosts=found.hosts) for placement in found.placements]
    rest = placed[0] if placed[0].placement.chosen is None else None
    return [*placed, *[rest] * (times - len(placed))]
