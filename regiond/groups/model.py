"""Zones and resource pools: how people group hosts and machines."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Zone:
    id: int
    name: str
    description: str


@frozen(kw_only=True)
class ResourcePool:
    id: int
    name: str
    description: str
