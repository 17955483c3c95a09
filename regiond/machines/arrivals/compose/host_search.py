"""Places machines among all hosts: a query narrows them, placement evaluates the best few."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from attrs import evolve, frozen

from regiond.db.pool import Db
from regiond.machines.arrivals.compose.model import PendingClaims
from regiond.machines.arrivals.compose.shortlist_store import read_shortlist
from regiond.machines.core.affinity.store import groups_of, read_members
from regiond.machines.core.candidate_store import with_claims_here
from regiond.placement.affinity import GroupMembers, check_policies
from regiond.placement.candidate import Candidate
from regiond.placement.model import PendingClaim, Placement
from regiond.placement.ranking import place_sequentially, with_pending_claims, with_pending_members
from regiond.placement.requirements import Requirements, Strategy

MAX_ON_EVENT_LOOP = 500  # evaluating more hosts than this would block the event loop for too long
SHORTLIST_SIZE = 20  # hosts evaluated if there are more than can be named; ten times as many while none of them fits


@frozen(kw_only=True)
class SearchResult:
    """Placements of equal machines, each as if the ones before it were claimed, and the evaluated hosts by id."""

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
    every: bool = False,
    pending: PendingClaims | None = None,
    machine_id: int | None = None,
) -> SearchResult:
    """Returns 1 to `times` placements of equal machines, fewer if the first ones use up the evaluated hosts.

    With `every`, fewer are returned only if no more fit anywhere.

    Considers hosts that one of `racks` reaches, and claims nothing. If at most `named` hosts exist, or pass the filter,
    all of these are evaluated; otherwise only the best few are evaluated and the rest summarized by reason. If none of
    the few fits, more are evaluated, finally all that may fit. `pending` claims count as taken as long as a machine
    fits beside them. `machine_id` is a machine that is placed again, which does not count as a member of its groups.
    Raises InvalidRequest for a group of the other policy.
    """
    claims = {} if pending is None else {**pending.snapshot()}
    limit = max(shortlist_size, times + len({one.evaluation.host_id for one in claims.values()}))
    members = await read_members(
        db, groups_of(requirements.groups), without=machine_id, within=requirements.hosts.within_pool_ids
    )
    check_policies(requirements.groups, members.known_to(requirements.hosts.within_pool_ids))
    while True:
        shortlist = await read_shortlist(
            db, requirements, racks, strategy=strategy, named=named, limit=limit, members=members
        )
        claims |= {} if pending is None else pending.snapshot()
        hosts, claimed = shortlist.candidates, [*claims.values()]
        placements = await _place_in_time(requirements, hosts, claimed, times, strategy, members)
        is_found = placements[0].chosen is not None and (len(placements) == times or not every)
        if is_found or len(hosts) >= shortlist.fitting:
            explained = await with_claims_here(db, hosts, placements)
            if explained is not hosts:
                placements = await _place_in_time(requirements, explained, claimed, times, strategy, members)
            return SearchResult(
                placements=tuple(evolve(one, summarized=shortlist.summarized) for one in placements),
                candidates={host.id: host for host in hosts},
            )
        limit *= 10


async def _place_in_time(
    requirements: Requirements,
    hosts: Sequence[Candidate],
    pending: Sequence[PendingClaim],
    times: int,
    strategy: Strategy,
    members: GroupMembers,
) -> tuple[Placement, ...]:
    """Returns the placements; evaluates many hosts in a thread."""
    if len(hosts) <= MAX_ON_EVENT_LOOP:
        return _place(requirements, hosts, pending, times, strategy, members)
    return await asyncio.to_thread(_place, requirements, hosts, pending, times, strategy, members)


def _place(
    requirements: Requirements,
    hosts: Sequence[Candidate],
    pending: Sequence[PendingClaim],
    times: int,
    strategy: Strategy,
    members: GroupMembers,
) -> tuple[Placement, ...]:
    remaining, expected = with_pending_claims(hosts, pending), with_pending_members(members, pending)
    placements = place_sequentially(requirements, remaining, times, strategy=strategy, members=expected)
    if placements[0].chosen is None and pending:  # they may be rolled back: the ledger waits and decides
        return place_sequentially(requirements, hosts, times, strategy=strategy, members=members)
    return placements
