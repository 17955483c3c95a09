"""Places machines among all hosts: a query narrows them, placement evaluates the best few."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import evolve, frozen

from regiond.machines.compose.pending_claims import PendingClaims
from regiond.machines.compose.shortlist_store import read_shortlist
from regiond.placement.model import Candidate, PendingClaim, Placement, Requirements, Strategy
from regiond.placement.service import place_sequentially, with_pending_claims

if TYPE_CHECKING:
    from regiond.db.pool import Db

MAX_ON_EVENT_LOOP = 500  # evaluating more hosts than this would block the event loop for too long
SHORTLIST_SIZE = 20  # hosts evaluated of more than can be named; ten times as many while none of them fits


@frozen(kw_only=True)
class SearchResult:
    """Placements of equal machines, each as if those before it were claimed, and the evaluated hosts by id."""

    placements: tuple[Placement, ...]
    candidates: Mapping[int, Candidate]


async def search_hosts(
    db: Db,
    requirements: Requirements,
    racks: Sequence[UUID],
    *,
    strategy: Strategy,
    named: int,
    shortlist_size: int = SHORTLIST_SIZE,
    times: int = 1,
    pending: PendingClaims | None = None,
) -> SearchResult:
    """Returns 1 to `times` placements of equal machines, fewer if the first ones use up the evaluated hosts.

    Considers hosts that one of `racks` reaches, and claims nothing. Up to `named` hosts are all evaluated, likewise
    those that pass the filter if they are that few; otherwise only the best few are evaluated and the rest summarized
    by reason. If none of these fits, more are evaluated, finally all that may fit. `pending` claims count as taken
    as long as something fits beside them.
    """
    claims = {} if pending is None else {**pending.snapshot()}
    limit = max(shortlist_size, times + len({one.evaluation.host_id for one in claims.values()}))
    while True:
        shortlist = await read_shortlist(db, requirements, racks, strategy=strategy, named=named, limit=limit)
        claims |= {} if pending is None else pending.snapshot()
        hosts, claimed = shortlist.candidates, [*claims.values()]
        if len(hosts) <= MAX_ON_EVENT_LOOP:
            placements = _place(requirements, hosts, claimed, times, strategy)
        else:
            placements = await asyncio.to_thread(_place, requirements, hosts, claimed, times, strategy)
        if placements[0].chosen is not None or len(hosts) >= shortlist.fitting:
            return SearchResult(
                placements=tuple(evolve(one, summarized=shortlist.summarized) for one in placements),
                candidates={host.id: host for host in hosts},
            )
        limit *= 10


def _place(
    requirements: Requirements,
    hosts: Sequence[Candidate],
    pending: Sequence[PendingClaim],
    times: int,
    strategy: Strategy,
) -> tuple[Placement, ...]:
    placements = place_sequentially(requirements, with_pending_claims(hosts, pending), times, strategy=strategy)
    if placements[0].chosen is None and pending:  # they may still be rolled back: the ledger waits and decides
        return place_sequentially(requirements, hosts, times, strategy=strategy)
    return placements
