"""Compares what two discovery runs found of one server, whose disks and interfaces other tests use meanwhile."""

from __future__ import annotations

from attrs import evolve

from common.values import HostFacts


def without_other_use(facts: HostFacts) -> HostFacts:
    """The facts without what may change between two discovery runs.

    This is the space that others than guests use, and interfaces: parallel tests add bridges, and ports of guests.
    """
    pools = tuple(evolve(pool, used_elsewhere_bytes=0) for pool in facts.storage_pools)
    return evolve(facts, storage_pools=pools, networks=(), network_devices=())
