"""Compares what two discovery runs found of one server, while the machine and its other servers run."""

from __future__ import annotations

from attrs import evolve

from common.values import HostFacts, NicKind

# Of the lab's servers: each worker of a run may start one meanwhile. A server's own is one of its networks.
_BRIDGES = ("lxdbr", "incbr")


def without_other_use(facts: HostFacts) -> HostFacts:
    """The facts without the space that others than guests use on the pools' disks, and without others' bridges."""
    pools = tuple(evolve(pool, used_elsewhere_bytes=0) for pool in facts.storage_pools)
    networks = tuple(
        one for one in facts.networks if one.kind is not NicKind.BRIDGE or not one.name.startswith(_BRIDGES)
    )
    return evolve(facts, storage_pools=pools, networks=networks)
