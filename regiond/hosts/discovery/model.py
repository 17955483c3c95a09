"""Values: a discovery run, its changes, and the Protocol that receives those of machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from attrs import field, frozen

from common.hosts.discovery import Discovery
from common.values import HostFacts, StoragePool
from regiond.db.pool import Db
from regiond.hosts.discovery.allocations import GuestKey, ResourceKey
from regiond.hosts.discovery.machine_storage import StorageChange
from regiond.hosts.discovery.orphaned_volumes import NO_VOLUME_CHANGES, VolumeChanges
from regiond.hosts.guest_record import GuestRecord
from regiond.hosts.image_copies.model import NO_COPY_CHANGES, CopyChanges
from regiond.hosts.model import MACHINE_MISSING, POWER_CHANGED
from regiond.ledger.model import GuestClaims


@frozen(kw_only=True)
class DiscoveryRun:
    """A driver's report of a host. `began_at` is the database's time just before the run."""

    began_at: datetime
    discovery: Discovery


class ChangeKind(StrEnum):
    """A finding about a machine's guest, or about a guest with our marker. The values are event kinds."""

    MISSING = MACHINE_MISSING
    RETURNED = "machine_returned"
    MOVED = "machine_moved"  # by its cluster, to another member
    POWER = POWER_CHANGED
    RESIZED = "machine_resized"
    REALLOCATED = "machine_reallocated"  # other pinned cores, huge pages or virtual functions
    DISKS_CHANGED = "machine_disks_changed"  # its disks use other amounts of space than the ledger has
    VOLUME_MISSING = "machine_volume_missing"  # its guest has a disk without a volume, and cannot start
    BOOT_DISK = "machine_boot_disk_changed"  # another of its disks boots first
    BOOTED_ONCE = "machine_booted_once"  # it was started as was asked for one start
    TOMBSTONE = "tombstone_guest_found"
    RESTORED = "restored_guest_found"  # of a deleted machine, and no call of ours provably left it
    UNKNOWN_MARKER = "unknown_marker_found"
    DUPLICATE_MARKER = "duplicate_marker_found"  # a copied guest has the marker of its original


@frozen(kw_only=True)
class GuestChange:
    """A change of a machine's guest. `guest` is None if the guest is missing.

    `detail` is the text about its disks in an event.
    """

    kind: ChangeKind
    machine_id: int
    system_id: str
    hostname: str
    power_before: str  # the machine's power state before the run
    guest: GuestRecord | None = None
    detail: str = ""


@frozen(kw_only=True)
class OrphanedGuest:
    """A guest with our marker that is no machine's. Only one of the kind `TOMBSTONE` may be removed unasked."""

    kind: ChangeKind
    machine_uuid: UUID
    guest_name: str
    guest_key: str


@frozen(kw_only=True)
class DiscoveryChanges:
    """The changes that a run makes in the database."""

    facts: HostFacts | None = None
    pools_written: tuple[StoragePool, ...] = ()
    pools_changed: tuple[StoragePool, ...] = ()  # pools with another status than before
    pools_missing: tuple[str, ...] = ()
    guests_written: tuple[GuestRecord, ...] = ()
    deleted_guests: tuple[GuestKey, ...] = ()
    totals_written: Mapping[ResourceKey, int] = field(factory=dict)  # discrete resources; 0: no longer there
    allocations: tuple[tuple[GuestRecord, GuestClaims], ...] = ()  # without storage
    storage: tuple[StorageChange, ...] = ()  # of machines
    machines: tuple[GuestChange, ...] = ()
    orphaned_guests: tuple[OrphanedGuest, ...] = ()
    volumes: VolumeChanges = NO_VOLUME_CHANGES
    image_copies: CopyChanges = NO_COPY_CHANGES
    members_moved_to: tuple[str, ...] = ()  # of the cluster, whose own runs have not found the machine yet

    @property
    def none(self) -> bool:
        return self == DiscoveryChanges()


class GuestChangeHandler(Protocol):
    """The reaction of machines to changes of their guests.

    The methods run in the transaction that applies the run, and change nothing if the machine was deleted.
    """

    def expects_guest(self, state: str) -> bool:
        """Returns whether a machine in `state` becomes missing if its host does not list its guest."""

    def awaits_guest(self, state: str) -> bool:
        """Returns whether a machine in `state` changes its state if its host lists its guest."""

    async def guest_missing(self, db: Db, machine_id: int) -> None: ...

    async def guest_returned(self, db: Db, machine_id: int) -> None: ...

    async def guest_moved(self, db: Db, machine_id: int, *, host_id: int, server_id: int) -> None:
        """Assigns the machine to that host, and its disks to the storage pools of that server."""

    async def power_changed(self, db: Db, machine_id: int, power_state: str) -> None: ...

    async def guest_resized(self, db: Db, machine_id: int, *, cores: int, memory_mib: int) -> None: ...

    async def booted_once(self, db: Db, machine_id: int, key: str) -> None: ...

    async def disks_listed(self, db: Db, machine_ids: Sequence[int]) -> None:
        """Records disks that these machines' guests have and the machines lacked, and disks that grew."""

    async def boot_disk_changed(self, db: Db, machine_id: int, pool_key: str, volume: str) -> None: ...
