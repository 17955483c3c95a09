"""Where a machine goes, of however many hosts: the database narrows, so that placement judges few of many."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import evolve, frozen

from regiond.machines.candidate_store import find
from regiond.machines.under_way import UnderWay
from regiond.placement.model import HostOffer, Placement, Wish
from regiond.placement.one_after_another import Taking, after_all, place_each
from regiond.placement.place import Strategy

if TYPE_CHECKING:
    from regiond.db.pool import Db

BESIDE_THE_REACTOR = 500  # deciding over more hosts takes so long that others would wait for it
NARROWED_TO = 20  # of more hosts than can be named, this many are judged; ten times as many when none of them fits


@frozen(kw_only=True)
class Look:
    """Where machines go, each as if those before it were claimed, and the hosts that were looked at by id."""

    placements: tuple[Placement, ...]
    hosts: Mapping[int, HostOffer]


async def choose(
    db: Db, wish: Wish, racks: Sequence[UUID], *, strategy: Strategy, named: int, narrowed_to: int = NARROWED_TO
) -> Placement:
    """Where one machine goes; see `look`."""
    found = await look(db, wish, racks, strategy=strategy, named=named, narrowed_to=narrowed_to)
    return found.placements[0]


async def look(
    db: Db,
    wish: Wish,
    racks: Sequence[UUID],
    *,
    strategy: Strategy,
    named: int,
    narrowed_to: int = NARROWED_TO,
    times: int = 1,
    under_way: UnderWay | None = None,
) -> Look:
    """Where `times` machines alike go now, of all hosts that one of `racks` reaches; nothing is claimed. At least one
    placement, and fewer than `times` when the first ones leave no room in what was looked at.

    Up to `named` hosts are all judged by name; of more, those that pass the wish's filter if they are not too many
    either. Else only the best few are, and the others are counted by reason. When none of the few does after all, more
    are looked at, in the end all that may fit. What is `under_way` counts as claimed wherever room is left then.
    """
    takings = {} if under_way is None else {**under_way.now()}
    limit = max(narrowed_to, times + len({one.verdict.host_id for one in takings.values()}))
    while True:
        found = await find(db, wish, racks, strategy=strategy, named=named, limit=limit)
        takings |= {} if under_way is None else under_way.now()
        placements = await _placed(wish, found.offers, [*takings.values()], times, strategy)
        if placements[0].chosen is not None or len(found.offers) >= found.fitting:
            return Look(
                placements=tuple(evolve(one, left_out=found.left_out) for one in placements),
                hosts={host.id: host for host in found.offers},
            )
        limit *= 10


async def _placed(
    wish: Wish, offers: Sequence[HostOffer], takings: Sequence[Taking], times: int, strategy: Strategy
) -> tuple[Placement, ...]:
    if len(offers) <= BESIDE_THE_REACTOR:
        return _place(wish, offers, takings, times, strategy)
    return await asyncio.to_thread(_place, wish, offers, takings, times, strategy)


def _place(
    wish: Wish, offers: Sequence[HostOffer], takings: Sequence[Taking], times: int, strategy: Strategy
) -> tuple[Placement, ...]:
    placed = place_each(wish, after_all(offers, takings), times, strategy=strategy)
    if placed[0].chosen is None and takings:  # they may come to nothing: the ledger decides, and it waits for them
        return place_each(wish, offers, times, strategy=strategy)
    return placed
