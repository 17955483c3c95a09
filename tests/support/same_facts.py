"""Compares what two discovery runs found of one server, while the machine and its other servers run."""

from __future__ import annotations

from attrs import evolve

from common.values import HostFacts, NicKind

# Of the lab's servers: each worker of a run may start one meanwhile. A server's own is one of its networks.
_BRIDGES = ("lxdbr", "incbr")


def without_other_use(facts: HostFacts) -> HostFacts:
    """The facts without what other tests change: the use of the pools' disks, the number of huge pages, bridges."""
    pools = tuple(evolve(pool, used_elsewhere_bytes=0) for pool in facts.storage_pools)
    networks = tuple(
        one for one in facts.networks if one.kind is not NicKind.BRIDGE or not one.name.startswith(_BRIDGES)
    )
    nodes = tuple(
        evolve(node, huge_pages=tuple(evolve(pages, total=0, free=None) for pages in node.huge_pages))
        for node in facts.numa_nodes
    )
    return evolve(facts, storage_pools=pools, networks=networks, numa_nodes=nodes)
