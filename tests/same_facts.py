"""Compares what two discovery runs found of one server, whose file systems other tests write to meanwhile."""

from __future__ import annotations

from attrs import evolve

from common.values import HostFacts


def without_other_use(facts: HostFacts) -> HostFacts:
    """The facts without the space that is used by others than guests: it may change between two discovery runs."""
    pools = tuple(evolve(pool, used_elsewhere_bytes=0) for pool in facts.storage_pools)
    return evolve(facts, storage_pools=pools)
