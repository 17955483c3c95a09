"""The content of a new guest: copies of the disks of another one, and data for cloud-init."""

from __future__ import annotations

from attrs import frozen

from common.guests.deployment_spec import CloudInitSeed
from common.values import GuestRef


@frozen(kw_only=True)
class DiskSource:
    """A disk of the source, as discovery lists it."""

    pool_id: str
    volume: str


@frozen(kw_only=True)
class GuestContent:
    """The content of a new guest. `disks` has the source of each of its disks, in their order; None: it is empty.

    With `seed`, cloud-init configures the guest at its first start, as after a deployment.
    """

    source: GuestRef
    disks: tuple[DiskSource | None, ...]
    seed: CloudInitSeed | None = None
