"""Stage 2, place: reads candidates in batches, counts pending claims, and ranks the hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import evolve, frozen

from common.errors import InvalidRequest, NotFound
from regiond.db.pool import Database
from regiond.hosts.service import Hosts
from regiond.machines.arrivals.compose.capacity_limits import capacity_unknown, check_limits
from regiond.machines.arrivals.compose.host_search import SearchResult, search_hosts
from regiond.machines.arrivals.compose.model import PendingClaims, PlacedCompose, ValidatedCompose, common_pools
from regiond.machines.core.affinity.store import groups_of, read_members
from regiond.machines.core.candidate_store import read_candidates, with_claims_here
from regiond.placement.affinity import NO_MEMBERS, GroupMembers, check_policies
from regiond.placement.candidate import Candidate
from regiond.placement.evaluation import needs_nodes
from regiond.placement.model import PendingClaim, Placement
from regiond.placement.ranking import (
    RemainingHosts,
    place,
    place_sequentially,
    with_pending_claims,
    with_pending_members,
)
from regiond.placement.requirements import Requirements, Strategy
from regiond.process.batcher import Batcher
from regiond.racks.calls.host_calls import HostCalls

NAMED_HOSTS = 100  # hosts named in the explanation of an operation; most of any further hosts are only counted
NAMED_HOSTS_DRY_RUN = 300
BATCH_LIMIT = 32
MAX_HOST_ID = 2**31 - 1


@frozen(kw_only=True)
class _Placed:
    placement: Placement
    candidates: Mapping[int, Candidate]


class PlacementQueries:
    """Ranks hosts for composes. Concurrent composes share a query of the database.

    Composes of a batch that are equal or name the same host are placed sequentially, and all composes as if the
    `pending` claims were taken, so that they do not compete for the same host or the same cores.
    """

    def __init__(self, database: Database, hosts: Hosts, calls: HostCalls, pending: PendingClaims) -> None:
        self._database = database
        self._hosts = hosts
        self._calls = calls
        self._pending = pending
        self._on_named: Batcher[tuple[Requirements, int], _Placed | None] = Batcher(
            self._place_on_named, limit=BATCH_LIMIT, name="place machines"
        )
        self._anywhere: Batcher[tuple[Requirements, Strategy], _Placed | None] = Batcher(
            self._place_anywhere, limit=BATCH_LIMIT, name="place machines"
        )

    async def place(self, validated: ValidatedCompose) -> PlacedCompose | None:
        """Returns the ranked hosts; None if others of the batch may get the remaining capacity: place again.

        Raises NotFound for a named host that does not exist, and InvalidRequest for requirements that it can never
        satisfy.
        """
        requirements = validated.requirements
        if requirements.host_id is None:
            placed = await self._anywhere.submit((requirements, validated.strategy))
        else:
            _check_id(requirements.host_id)
            placed = await self._on_named.submit((requirements, requirements.host_id))
            if placed is not None:
                await self._check_limits(requirements, placed.candidates[requirements.host_id])
        if placed is None:
            return None
        return PlacedCompose(validated=validated, placement=placed.placement, candidates=placed.candidates)

    async def preview(
        self,
        validated: ValidatedCompose,
        *,
        named: int = NAMED_HOSTS_DRY_RUN,
        machine_id: int | None = None,
        times: int = 1,
    ) -> PlacedCompose:
        """Returns the ranked hosts by the committed claims alone, for up to `times` equal machines. Raises as `place`.

        `machine_id` is a machine that is placed again: it is no member of its own groups. Only one machine can have a
        static address; each copy of a template gets its own.
        """
        requirements = validated.requirements
        if validated.copy is None and any(nic.ip is not None for nic in requirements.nics):
            times = 1
        if requirements.host_id is not None:
            host, members = await self._candidate(requirements, requirements.host_id)
            await self._check_limits(requirements, host)
            placements = place_sequentially(requirements, [host], times, members=members)
            async with self._database.connection() as db:
                (explained,) = await with_claims_here(db, [host], placements[:1])
            if explained is not host:
                placements = place_sequentially(requirements, [explained], times, members=members)
            return PlacedCompose(
                validated=validated, placement=placements[0], candidates={host.id: host}, following=placements[1:]
            )
        async with self._database.connection() as db:
            found = await search_hosts(
                db, requirements, self._calls.racks, strategy=validated.strategy, named=named, times=times,
                every=True, machine_id=machine_id,
            )  # fmt: skip
        first, *following = found.placements
        return PlacedCompose(
            validated=validated, placement=first, candidates=found.candidates, following=tuple(following)
        )

    async def _candidate(self, requirements: Requirements, host_id: int) -> tuple[Candidate, GroupMembers]:
        _check_id(host_id)
        async with self._database.connection() as db:
            within = requirements.hosts.within_pool_ids
            members = await read_members(db, groups_of(requirements.groups), within=within)
            hosts = await read_candidates(db, [host_id], with_nodes=needs_nodes(requirements))
        if host_id not in hosts:
            raise _not_found(host_id)
        check_policies(requirements.groups, members.known_to(within))
        return hosts[host_id], members

    async def _check_limits(self, requirements: Requirements, host: Candidate) -> None:
        if host.cores is None:
            raise capacity_unknown(host.name, (await self._hosts.read(host.id)).error_message)
        check_limits(requirements, host)

    async def _place_on_named(self, batch: Sequence[tuple[Requirements, int]]) -> Sequence[_Placed | Exception | None]:
        wanted = [requirements for requirements, _ in batch]
        rules = [rule for requirements in wanted for rule in requirements.groups]
        async with self._database.connection() as db:
            # Before and after the reads, not before the wait for the connection: claims that are committed between
            # two snapshots that are far apart would be in neither, nor in what was read.
            pending = {**self._pending.snapshot()}
            members = await read_members(db, groups_of(rules), within=common_pools(wanted)) if rules else NO_MEMBERS
            hosts = await read_candidates(
                db, {host_id for _, host_id in batch}, with_nodes=any(needs_nodes(one) for one, _ in batch)
            )
            pending |= self._pending.snapshot()
            results = _place_each_on_named(batch, hosts, pending.values(), members)
            placements = [one.placement for one in results if isinstance(one, _Placed)]
            explained = await with_claims_here(db, [*hosts.values()], placements)
        if explained == [*hosts.values()]:
            return results
        return _place_each_on_named(batch, {host.id: host for host in explained}, pending.values(), members)

    async def _place_anywhere(
        self, batch: Sequence[tuple[Requirements, Strategy]]
    ) -> Sequence[_Placed | Exception | None]:
        equal: dict[tuple[Requirements, Strategy], list[int]] = {}
        for number, one in enumerate(batch):
            equal.setdefault(one, []).append(number)
        # A query that fails, for example for a number that is out of range, fails only its own requests.
        found = await asyncio.gather(
            *(self._search(*one, times=len(numbers)) for one, numbers in equal.items()), return_exceptions=True
        )
        results: dict[int, _Placed | Exception | None] = {}
        for numbers, result in zip(equal.values(), found, strict=True):
            if isinstance(result, SearchResult):
                results |= dict(zip(numbers, _for_each(result, len(numbers)), strict=True))
            elif isinstance(result, Exception):
                results |= dict.fromkeys(numbers, result)
            else:
                raise result
        return [results[number] for number in range(len(batch))]

    async def _search(self, requirements: Requirements, strategy: Strategy, *, times: int) -> SearchResult:
        async with self._database.connection() as db:
            return await search_hosts(
                db,
                requirements,
                self._calls.racks,
                strategy=strategy,
                named=NAMED_HOSTS,
                times=times,
                pending=self._pending,
            )


def without_tried(validated: ValidatedCompose, tried: Iterable[int]) -> ValidatedCompose:
    """Returns the compose restricted to hosts on which it has not failed yet."""
    requirements = validated.requirements
    hosts = evolve(requirements.hosts, tried_host_ids=frozenset(tried))
    return evolve(validated, requirements=evolve(requirements, hosts=hosts))


def _check_id(host_id: int) -> None:
    """Raises NotFound for an id that is out of range: PostgreSQL would reject it, which would fail the whole batch."""
    if not 0 < host_id <= MAX_HOST_ID:
        raise _not_found(host_id)


def _not_found(host_id: int) -> NotFound:
    return NotFound(f"There is no VM host {host_id}.", host=host_id)


def _place_each_on_named(
    batch: Iterable[tuple[Requirements, int]],
    hosts: Mapping[int, Candidate],
    pending: Collection[PendingClaim],
    members: GroupMembers,
) -> list[_Placed | Exception | None]:
    """Places each compose on its host as if the composes before it and the pending claims were taken.

    A compose that fits only without the pending claims is placed as if there were none, since they may be rolled back:
    the ledger decides. This applies to one compose per host; the others are placed again.
    """
    remaining = RemainingHosts(with_pending_claims(hosts.values(), pending))
    expected = with_pending_members(members, pending)
    placed_on: set[int] = set()
    results: list[_Placed | Exception | None] = []
    for requirements, host_id in batch:
        if host_id not in hosts:
            results.append(_not_found(host_id))
            continue
        try:
            if requirements.groups:
                check_policies(requirements.groups, members.known_to(requirements.hosts.within_pool_ids))
        except InvalidRequest as error:
            results.append(error)
            continue
        placement = place(requirements, [remaining.by_id[host_id]], members=expected)
        if placement.chosen is not None:
            expected = expected.after(requirements.groups, hosts[host_id]) if requirements.groups else expected
            remaining.claim(requirements, placement.chosen)
        else:
            placement = place(requirements, [hosts[host_id]], members=members)
            if placement.chosen is not None and host_id in placed_on:
                results.append(None)
                continue
        if placement.chosen is not None:
            placed_on.add(host_id)
        results.append(_Placed(placement=placement, candidates={host_id: hosts[host_id]}))
    return results


def _for_each(found: SearchResult, times: int) -> list[_Placed | None]:
    """Returns a placement for each of `times` machines. If the first fits nowhere, none of the equal ones does."""
    placed = [_Placed(placement=placement, candidates=found.candidates) for placement in found.placements]
    rest = placed[0] if placed[0].placement.chosen is None else None
    return [*placed, *[rest] * (times - len(placed))]
