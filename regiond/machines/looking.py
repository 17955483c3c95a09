"""Looks at hosts for placement: those of one moment are one look at the database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from common.errors import NotFound
from regiond.db.pool import Database
from regiond.machines import offer_store
from regiond.machines.candidates import Look, look
from regiond.machines.together import Together
from regiond.machines.under_way import UnderWay
from regiond.machines.wishes import LARGEST
from regiond.placement.model import HostOffer, Placement, Wish
from regiond.placement.one_after_another import Taking, after, after_all
from regiond.placement.place import Strategy, place
from regiond.racks.calls import HostCalls

COMPOSE_NAMED = 100  # hosts in the explanation kept with each operation; of more, most are counted only
AT_ONCE = 32


@frozen(kw_only=True)
class Found:
    """Where a machine goes, and the hosts that were looked at by id."""

    placement: Placement
    hosts: Mapping[int, HostOffer]


class Looks:
    """For composes. Those of one moment that are alike or name the same host are placed one after another, and all as
    if what is `under_way` were claimed, so they do not go for the same best host, nor for the same cores of one."""

    def __init__(self, database: Database, calls: HostCalls, under_way: UnderWay) -> None:
        self._database = database
        self._calls = calls
        self._under_way = under_way
        self._at_named: Together[tuple[Wish, int], Found | None] = Together(self._named, most=AT_ONCE)
        self._at_all: Together[tuple[Wish, Strategy], Found | None] = Together(self._all, most=AT_ONCE)

    async def host(self, wish: Wish, host_id: int) -> HostOffer:
        """As it is, for one who only asks. With its NUMA nodes when the wish is about them. Raises NotFound."""
        _check_id(host_id)
        async with self._database.connection() as db:
            hosts = await offer_store.named(db, [host_id], with_nodes=wish.needs_nodes)
        if host_id not in hosts:
            raise _not_found(host_id)
        return hosts[host_id]

    async def at_host(self, wish: Wish, host_id: int) -> Found | None:
        """Raises NotFound. None when others of the same moment may get the room that was seen: look again."""
        _check_id(host_id)
        return await self._at_named.ask((wish, host_id))

    async def at_all(self, wish: Wish, strategy: Strategy) -> Found | None:
        """None as `at_host`."""
        return await self._at_all.ask((wish, strategy))

    async def _named(self, asked: Sequence[tuple[Wish, int]]) -> Sequence[Found | Exception | None]:
        takings = {**self._under_way.now()}
        async with self._database.connection() as db:
            hosts = await offer_store.named(
                db, {host_id for _, host_id in asked}, with_nodes=any(wish.needs_nodes for wish, _ in asked)
            )
        takings |= self._under_way.now()
        return _chained(asked, hosts, takings.values())

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
            return await look(
                db,
                wish,
                self._calls.racks,
                strategy=strategy,
                named=COMPOSE_NAMED,
                times=times,
                under_way=self._under_way,
            )


def _check_id(host_id: int) -> None:
    """One that no host can have is no question to ask the database together with others."""
    if not 0 < host_id <= LARGEST:
        raise _not_found(host_id)


def _not_found(host_id: int) -> NotFound:
    return NotFound("Not Found", host=host_id)


def _chained(
    asked: Iterable[tuple[Wish, int]], hosts: Mapping[int, HostOffer], takings: Iterable[Taking]
) -> list[Found | Exception | None]:
    """Each on the host that it names, as if those under way and those before it there were claimed. Who finds no room
    only because of those under way is placed without them: they may come to nothing, and the ledger decides."""
    left = {host.id: host for host in after_all(hosts.values(), takings)}
    taken: set[int] = set()
    answers: list[Found | Exception | None] = []
    for wish, host_id in asked:
        if host_id not in hosts:
            answers.append(_not_found(host_id))
            continue
        placement = place(wish, [left[host_id]])
        if placement.chosen is not None:
            left[host_id] = after(left[host_id], wish, placement.chosen)
        else:
            placement = place(wish, [hosts[host_id]])
            if placement.chosen is not None and host_id in taken:
                answers.append(None)
                continue
        if placement.chosen is not None:
            taken.add(host_id)
        answers.append(Found(placement=placement, hosts={host_id: hosts[host_id]}))
    return answers


def _each(found: Look, times: int) -> list[Found | None]:
    """When nothing takes the first one, nothing takes the others."""
    placed = [Found(placement=placement, hosts=found.hosts) for placement in found.placements]
    rest = placed[0] if placed[0].placement.chosen is None else None
    return [*placed, *[rest] * (times - len(placed))]
