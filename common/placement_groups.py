"""Placement groups of Incus and LXD clusters, exchanged by region and rack."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class PlacementGroup:
    """A group of a project of an LXD cluster, whose instances LXD spreads over members or keeps together.

    `policy` is `spread` or `compact`, `rigor` is `strict` or `permissive`; both are as LXD says them. `instances` is
    the number of VMs and containers that have the group themselves, not by a profile.
    """

    name: str
    description: str = ""
    policy: str = ""
    rigor: str = ""
    instances: int = 0
