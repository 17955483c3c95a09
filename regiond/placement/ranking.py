"""Ranks hosts for a machine, and for several in order, each as if the claims of those before it were taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from attrs import evolve

from regiond.placement.affinity import NO_MEMBERS, GroupMembers
from regiond.placement.candidate import Candidate, CandidateInterface, CandidateNode, CandidateStoragePool
from regiond.placement.evaluation import evaluate
from regiond.placement.model import Evaluation, NicAttachment, PendingClaim, Placement
from regiond.placement.nic_attachment import port_of, required_functions
from regiond.placement.requirements import Requirements, Strategy


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
    for certain what the others leave free. Evaluates each host once, and after each placement the hosts of the chosen
    server again; all again if the machines are in groups, since each then affects other hosts too.
    """
    placements = [place(requirements, hosts, strategy=strategy, members=members)]
    remaining = RemainingHosts(hosts)
    while len(placements) < times and (chosen := placements[-1].chosen) is not None:
        changed = remaining.claim(requirements, chosen)
        if requirements.groups:
            members = members.after(requirements.groups, remaining.by_id[chosen.host_id])
            following = place(requirements, remaining.by_id.values(), strategy=strategy, members=members)
        else:
            again = place(requirements, changed, strategy=strategy)
            following = _with_new_evaluations(placements[-1], again, strategy)
        if following.chosen is None:
            break
        placements.append(following)
    return tuple(placements)


def _with_new_evaluations(placement: Placement, again: Placement, strategy: Strategy) -> Placement:
    """Replaces the evaluations of the hosts that were placed again."""
    replaced = {one.host_id for one in (*again.ranked, *again.rejected)}
    ranked = (one for one in placement.ranked if one.host_id not in replaced)
    rejected = (one for one in placement.rejected if one.host_id not in replaced)
    return evolve(
        placement,
        ranked=tuple(sorted((*ranked, *again.ranked), key=rank(strategy))),
        rejected=tuple(sorted((*rejected, *again.rejected), key=lambda one: one.host_id)),
    )


class RemainingHosts:
    """Hosts by id, each with what is left once machines have claimed what they need.

    What a machine claims on a host is missing on all hosts of the same server, such as other projects of an LXD server.
    """

    def __init__(self, hosts: Iterable[Candidate]) -> None:
        self.by_id = {host.id: host for host in hosts}
        self._of_server: dict[int | None, list[int]] = {}
        for host in self.by_id.values():
            self._of_server.setdefault(host.server_id, []).append(host.id)

    def claim(
        self, requirements: Requirements, evaluation: Evaluation, host: Candidate | None = None
    ) -> tuple[Candidate, ...]:
        """Returns the hosts that have less, once the machine has claimed what `evaluation` assigns to it.

        `host` is that of the evaluation, for one that is not among these.
        """
        host = self.by_id.get(evaluation.host_id, host)
        if host is None:
            return ()
        ids = self._of_server.get(host.server_id, ()) if host.server_id is not None else {host.id} & self.by_id.keys()
        changed = tuple(after_claim(self.by_id[one], requirements, evaluation) for one in ids)
        self.by_id |= {one.id: one for one in changed}
        return changed


def with_pending_claims(hosts: Iterable[Candidate], pending: Iterable[PendingClaim]) -> tuple[Candidate, ...]:
    """Returns the hosts as if all pending claims on their servers were taken. Claims on other ones are ignored."""
    remaining = RemainingHosts(hosts)
    for one in pending:
        remaining.claim(one.requirements, one.evaluation, one.host)
    return tuple(remaining.by_id.values())


def with_pending_members(members: GroupMembers, pending: Iterable[PendingClaim]) -> GroupMembers:
    """Returns the members of groups as if all pending machines were on their hosts."""
    for one in pending:
        if one.requirements.groups and one.host is not None:
            members = members.after(one.requirements.groups, one.host)
    return members


def after_claim(host: Candidate, requirements: Requirements, evaluation: Evaluation) -> Candidate:
    """Returns the host as it is once the machine has claimed what `evaluation` assigns to it, there or on another host
    of the same server."""
    memory_mib = 0 if requirements.huge_pages else requirements.memory_mib
    is_here = host.id == evaluation.host_id
    here_cores, here_mib = host.cores_claimed_here, host.memory_mib_claimed_here
    return evolve(
        host,
        cores_claimed=host.cores_claimed + requirements.cores,
        cores_claimed_here=here_cores + requirements.cores if is_here and here_cores is not None else here_cores,
        memory_mib_claimed=host.memory_mib_claimed + memory_mib,
        memory_mib_claimed_here=here_mib + memory_mib if is_here and here_mib is not None else here_mib,
        storage_pools=_pools_after(host.storage_pools, evaluation),
        nodes=tuple(_node_after(node, evaluation) for node in host.nodes),
        interfaces=_interfaces_after(host.interfaces, evaluation.nics),
    )


def _pools_after(pools: tuple[CandidateStoragePool, ...], evaluation: Evaluation) -> tuple[CandidateStoragePool, ...]:
    storage = {pool.id: pool.storage for pool in pools}
    claimed = Counter[str | int | None]()
    for disk in evaluation.disks:
        claimed[storage.get(disk.storage_pool_id)] += disk.size_bytes
    return tuple(
        evolve(pool, free_bytes=max(0, pool.free_bytes - claimed[pool.storage])) if claimed[pool.storage] else pool
        for pool in pools
    )


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
