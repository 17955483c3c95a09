"""Hosts as they are once machines have claimed what they need of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import evolve

from regiond.placement.affinity import GroupMembers
from regiond.placement.candidate import Candidate, CandidateInterface, CandidateNode, CandidateStoragePool
from regiond.placement.model import Evaluation, NicAttachment, PendingClaim
from regiond.placement.nic_attachment import port_of, required_functions
from regiond.placement.requirements import Requirements


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
