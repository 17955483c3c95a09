"""Disks of machines: as they are, requests for and plans of their changes, and those that were kept."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from attrs import field, frozen

from regiond.groups.model import ResourcePool
from regiond.quotas.model import Charge, Holdings
from regiond.requests.caller import Caller


class DiskOrigin(StrEnum):
    """The origin of a disk of a machine. A foreign one is shown and claimed, and never changed by Innkeeper."""

    CREATED = "created"  # by Innkeeper, which its volume's name shows, or it is the first disk of an adopted machine
    FOREIGN = "foreign"  # somebody attached it on the hypervisor
    ADOPTED = "adopted"  # it was foreign, and a person made it the machine's own


@frozen(kw_only=True)
class DiskView:
    """A disk. If it is `missing`, its volume does not exist, and the VM cannot start. One disk of a machine `boots`: it
    is the first one that the VM tries at its next start.

    `label` is from the storage constraint; empty: the constraint had none, or the VM was adopted. `is_volume` is False
    for one that the host shows in the storage pool, but not as a volume of it; `volume` then names the guest's device.
    """

    id: int
    index: int
    volume: str
    storage_pool_name: str
    storage_pool_key: str
    size_bytes: int
    serial: str
    tags: tuple[str, ...]
    label: str = ""
    missing: bool = False
    is_volume: bool = True
    boots: bool = False
    pending_size_bytes: int | None = None  # the size that it gets when Innkeeper next starts the machine
    root_volume: str | None = None  # of a root disk that was moved: its volume since
    origin: DiskOrigin = field(default=DiskOrigin.CREATED, converter=DiskOrigin)

    @property
    def is_foreign(self) -> bool:
        return self.origin is DiskOrigin.FOREIGN

    @property
    def held_bytes(self) -> int:
        """The space that it claims: the larger of its size and its pending one."""
        return max(self.size_bytes, self.pending_size_bytes or 0)

    @property
    def title(self) -> str:
        """Returns what people call the disk: its label, else `root`, `disk1`, `disk2` … in the order of the disks."""
        return self.label or (f"disk{self.index}" if self.index else "root")


@frozen(kw_only=True)
class DiskToAdd:
    """A new disk of a machine. `pool` is the name of a storage pool; empty: as compose chooses one."""

    size_bytes: int
    pool: str = ""
    tags: tuple[str, ...] = ()
    label: str = ""


@frozen(kw_only=True)
class DiskToAttach:
    """A kept disk that a machine gets with its content."""

    kept_disk_id: int


@frozen(kw_only=True)
class DiskToGrow:
    """A disk (row id) of a machine that gets this size."""

    disk_id: int
    size_bytes: int


@frozen(kw_only=True)
class DiskToRemove:
    """A disk (row id) that a machine loses. With `keep` its volume stays, as a kept disk; else its data are lost."""

    disk_id: int
    keep: bool


@frozen(kw_only=True)
class DiskToMove:
    """A disk (row id) of a machine that goes to another storage pool of its host, named `pool`, with its content."""

    disk_id: int
    pool: str


@frozen(kw_only=True)
class MachineToExport:
    """Writes a machine, with all its data, to a file of the region."""


@frozen(kw_only=True)
class NamedDisk:
    """The disk of each of many machines that has this name, and one change of it: another size, another storage pool
    (its name), or, with `keep` as for DiskToRemove, its removal.
    """

    name: str
    size_bytes: int | None = None
    pool: str | None = None
    keep: bool | None = None

    def change_of(self, disk_id: int) -> DiskToGrow | DiskToMove | DiskToRemove:
        """Returns the change of the disk (row id) of one machine."""
        if self.size_bytes is not None:
            return DiskToGrow(disk_id=disk_id, size_bytes=self.size_bytes)
        if self.pool is not None:
            return DiskToMove(disk_id=disk_id, pool=self.pool)
        return DiskToRemove(disk_id=disk_id, keep=bool(self.keep))


DiskChange = DiskToAdd | DiskToAttach | DiskToGrow | DiskToMove | DiskToRemove


@frozen(kw_only=True)
class DiskPlan:
    """The plan of a change of a disk. `name` is the hostname; `effects` are sentences for people.

    `loses_data`: the content of the disk is deleted. `charge` is what a new disk claims of quotas.
    """

    name: str
    effects: tuple[str, ...]
    loses_data: bool = False
    charge: Charge = field(default=Charge(asked=Holdings()))


@frozen(kw_only=True)
class KeptDisk:
    """A disk that no machine has, of the host `host_name`. `hostname` is the machine that had it.

    It belongs to the owner of that machine; without one, to whoever composed it.
    `is_listed` is False if the last refresh of its host did not find the volume: it is gone, or some guest has it.
    """

    id: int
    host_id: int
    host_name: str
    storage_pool_id: int
    storage_pool_name: str
    storage_pool_key: str
    volume: str
    size_bytes: int
    tags: tuple[str, ...]
    label: str
    hostname: str
    account_id: int | None  # whose it is, and whose quota counts it; None: administrators alone may use it
    owner: str | None  # the name of that account
    pool_id: int
    pool_name: str
    kept_at: datetime
    is_listed: bool

    @property
    def pool(self) -> ResourcePool:
        return ResourcePool(id=self.pool_id, name=self.pool_name, description="")

    def belongs_to(self, caller: Caller) -> bool:
        return self.account_id == caller.account_id

    @property
    def title(self) -> str:
        """Returns the disk as a heading, such as `data of web-1`."""
        return f"{self.label or 'disk'} of {self.hostname}"

    @property
    def in_words(self) -> str:
        """Returns the disk as part of a sentence: `the disk data of web-1`."""
        return f"the disk {self.label} of {self.hostname}" if self.label else f"the disk of {self.hostname}"
