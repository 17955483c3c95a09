"""The machine whose disks a new machine copies."""

from __future__ import annotations

from attrs import frozen

from common.boot import BootDevice
from common.guests.deployment_spec import ImageRef
from common.guests.guest_content import DiskSource
from common.values import GuestRef
from regiond.machines.values.states import MachineState


@frozen(kw_only=True)
class CloneRequest:
    """A request for a machine like another one, on its host. None: as that one, but a new `hostname`.

    `storage_pool` is for all disks; empty: each in its own.
    """

    hostname: str | None = None
    pool: str | None = None
    cores: int | None = None
    memory_mib: int | None = None
    storage_pool: str = ""
    power_on: bool = False


@frozen(kw_only=True)
class Copied:
    """The source of a new machine, as its operation stores it.

    `disks` has the source of each disk of the new machine; None: it is empty. The new machine `becomes` ready, as
    stock, allocated or deployed: with `image`, `osystem` and `distro_series`, as the source was deployed, if it was. It
    boots in `boot_order`, if that is known, first from the disk with the number `boot_disk`. With `same_nics` it has
    NICs like those of the source, in their order.
    """

    machine_id: int
    system_id: str
    hostname: str
    guest: GuestRef
    disks: tuple[DiskSource | None, ...]
    becomes: MachineState
    tags: tuple[str, ...] = ()
    boot_order: tuple[BootDevice, ...] = ()
    boot_disk: int = 0
    same_nics: bool = True
    image: ImageRef | None = None
    osystem: str = ""
    distro_series: str = ""
