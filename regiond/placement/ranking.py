"""Ranks hosts for a machine, and for several in order, each as if the claims of those before it were taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import evolve

from regiond.placement.affinity import NO_MEMBERS, GroupMembers
from regiond.placement.evaluation import evaluate
from regiond.placement.model import (
    Candidate,
    CandidateInterface,
    CandidateNode,
    CandidateStoragePool,
    Evaluation,
    NicAttachment,
    PendingClaim,
    Placement,
    Requirements,
    Strategy,
)
from regiond.placement.nic_attachment import port_of, required_functions


def place(
    requirements: Requirements,
    hosts: Iterable[Candidate],
    *,
    strategy: Strategy = "spread",
    members: GroupMembers = NO_MEMBERS,
) -> Placement:
    """Evaluates every host. Nothing fitting is an answer (`chosen` is None), never an exception.

    `spread` prefers the host with the largest share of its claimable compute left afterwards, `pack` the one with the
    smallest. Ties go to the lower id, so the order of `hosts` does not matter. A host that satisfies more of the soft
    rules of the machine's groups comes first in any case; `members` are those of the groups.
    """
    fitting: list[Evaluation] = []
    rejected: list[Evaluation] = []
    for host in hosts:
        evaluation = evaluate(requirements, host, members)
        (fitting if evaluation.fits else rejected).append(evaluation)
    fitting.sort(key=rank(strategy))
    rejected.sort(key=lambda evaluation: evaluation.host_id)
    return Placement(ranked=tuple(fitting), rejected=tuple(rejected))


def rank(strategy: Strategy) -> Callable[[Evaluation], tuple[int, float, int]]:
    """Returns the sort key that puts the preferred host first."""
    sign = -1.0 if strategy == "spread" else 1.0
    return lambda evaluation: (evaluation.conflicts, sign * (evaluation.score or 0.0), evaluation.host_id)


def place_sequentially(
    requirements: Requirements,
    hosts: Sequence[Candidate],
    times: int,
    *,
    strategy: Strategy = "spread",
    members: GroupMembers = NO_MEMBERS,
) -> tuple[Placement, ...]:
    """Returns 1 to `times` placements of equal machines.

    The result ends before the first machine that no longer fits, unless that is the first one: only the ledger knows
    for certain what the others leave free. Evaluates each host once, and the chosen one again after each placement; all
    again if the machines are in groups, since each then affects other hosts too.
    """
    placements = [place(requirements, hosts, strategy=strategy, members=members)]
    remaining = {host.id: host for host in hosts}
    while len(placements) < times and (chosen := placements[-1].chosen) is not None:
        remaining[chosen.host_id] = after_claim(remaining[chosen.host_id], requirements, chosen)
        if requirements.groups:
            members = members.after(requirements.groups, remaining[chosen.host_id])
            following = place(requirements, remaining.values(), strategy=strategy, members=members)
        else:
            again = evaluate(requirements, remaining[chosen.host_id])
            following = _with_new_evaluation(placements[-1], again, strategy)
        if following.chosen is None:
            break
        placements.append(following)
    return tuple(placements)


def _with_new_evaluation(placement: Placement, evaluation: Evaluation, strategy: Strategy) -> Placement:
    """Replaces the evaluation of the chosen host."""
    others = placement.ranked[1:]
    if evaluation.fits:
        return evolve(placement, ranked=tuple(sorted((*others, evaluation), key=rank(strategy))))
    rejected = sorted((*placement.rejected, evaluation), key=lambda one: one.host_id)
    return evolve(placement, ranked=others, rejected=tuple(rejected))


def with_pending_claims(hosts: Iterable[Candidate], pending: Iterable[PendingClaim]) -> tuple[Candidate, ...]:
    """Returns the hosts as if all pending claims on them were taken. Claims on other hosts are ignored."""
    remaining = {host.id: host for host in hosts}
    for one in pending:
        host_id = one.evaluation.host_id
        if host_id in remaining:
            remaining[host_id] = after_claim(remaining[host_id], one.requirements, one.evaluation)
    return tuple(remaining.values())


def with_pending_members(members: GroupMembers, pending: Iterable[PendingClaim]) -> GroupMembers:
    """Returns the members of groups as if all pending machines were on their hosts."""
    for one in pending:
        if one.requirements.groups and one.host is not None:
            members = members.after(one.requirements.groups, one.host)
    return members


def after_claim(host: Candidate, requirements: Requirements, evaluation: Evaluation) -> Candidate:
    """Returns the host as it is once the machine has claimed what `evaluation` assigns to it."""
    memory_mib = 0 if requirements.huge_pages else requirements.memory_mib
    here_cores, here_mib = host.cores_claimed_here, host.memory_mib_claimed_here
    return evolve(
        host,
        cores_claimed=host.cores_claimed + requirements.cores,
        cores_claimed_here=None if here_cores is None else here_cores + requirements.cores,
        memory_mib_claimed=host.memory_mib_claimed + memory_mib,
        memory_mib_claimed_here=None if here_mib is None else here_mib + memory_mib,
        storage_pools=tuple(_pool_after(pool, evaluation) for pool in host.storage_pools),
        nodes=tuple(_node_after(node, evaluation) for node in host.nodes),
        interfaces=_interfaces_after(host.interfaces, evaluation.nics),
    )


def _pool_after(pool: CandidateStoragePool, evaluation: Evaluation) -> CandidateStoragePool:
    claimed_bytes = sum(disk.size_bytes for disk in evaluation.disks if disk.storage_pool_id == pool.id)
    return evolve(pool, free_bytes=max(0, pool.free_bytes - claimed_bytes)) if claimed_bytes else pool


def _node_after(node: CandidateNode, evaluation: Evaluation) -> CandidateNode:
    claimed = {pages.size_kib: pages.pages for pages in evaluation.pages if pages.node_id == node.node_id}
    return evolve(
        node,
        free_core_ids=tuple(core_id for core_id in node.free_core_ids if core_id not in evaluation.pinned_core_ids),
        pages=tuple(evolve(pages, free=pages.free - claimed.get(pages.size_kib, 0)) for pages in node.pages),
    )


def _interfaces_after(
    interfaces: tuple[CandidateInterface, ...], nics: Iterable[NicAttachment]
) -> tuple[CandidateInterface, ...]:
    """Several interfaces can share a port: each has fewer free virtual functions then."""
    claimed = required_functions(nics)
    if not claimed:
        return interfaces
    return tuple(
        evolve(one, functions_free=max(0, one.functions_free - claimed.get(port_of(one), 0))) for one in interfaces
    )
