"""Compares what two discovery runs found of one server, whose disks the machine uses meanwhile."""

from __future__ import annotations

from attrs import evolve

from common.values import HostFacts


def without_other_use(facts: HostFacts) -> HostFacts:
    """The facts without the space that others than guests use on the pools' disks."""
    pools = tuple(evolve(pool, used_elsewhere_bytes=0) for pool in facts.storage_pools)
    return evolve(facts, storage_pools=pools)
