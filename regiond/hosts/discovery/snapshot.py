"""The state of a server and its guests in the database, with which a discovery run is compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from attrs import field, fields, frozen

from common.disks.volume_names import marker_of_volume
from common.guest_facts import GuestFacts
from common.serialization import to_dict
from common.values import Guest, GuestNic, HostFacts, StoragePool
from regiond.hosts.discovery.allocations import ClaimHolder, GuestKey, ResourceKey
from regiond.hosts.discovery.orphaned_volumes import NO_VOLUMES, VolumeSnapshot
from regiond.hosts.guest_record import GuestRecord
from regiond.hosts.image_copies.model import NO_COPIES, CopySnapshot
from regiond.hosts.restored_guests import Tombstone
from regiond.ledger.model import DiscreteResources


@frozen(kw_only=True)
class MachineSnapshot:
    """A machine of the server, or of another member of its cluster.

    `expects_guest`: the machine becomes missing if its host does not list its guest. `awaits_guest`: it changes state
    if the host lists it.
    """

    id: int
    uuid: UUID
    system_id: str
    hostname: str
    power_state: str
    cores: int
    memory_mib: int
    on_this_host: bool
    settled: bool  # no operation acts on it or has ended since the discovery run started
    expects_guest: bool = True
    awaits_guest: bool = False
    adopted: bool = False  # also one that came from another controller
    on_this_server: bool = True  # False: the database has it on another member of the cluster
    boot_once_key: str | None = None  # of the order for its next start; None: that is as all others
    disks: tuple[tuple[str, str], ...] = ()  # storage pool and volume of each, that of the boot disk first


def is_known_by_id(machine: MachineSnapshot) -> bool:
    """Returns whether listings without markers do not show whose the guest is: no disk is named after the machine.

    A machine from another controller is no adopted one after its release, and keeps the disks that it came with.
    """
    return machine.adopted or bool(
        machine.disks and not any(marker_of_volume(volume) is not None for _, volume in machine.disks)
    )


_FACTS = tuple(one.name for one in fields(GuestFacts))


def guest_record(guest: Guest, machine_id: int | None) -> GuestRecord:
    return GuestRecord(
        **{name: getattr(guest, name) for name in _FACTS},
        guest_key=guest.guest_id,
        marker_installation=guest.marker.installation_id if guest.marker else None,
        marker_machine=guest.marker.machine_id if guest.marker else None,
        machine_id=machine_id,
        power_state=guest.power.value,
        disks=tuple(to_dict(disk) for disk in guest.disks),
        nics=tuple(_nic(nic) for nic in guest.nics),
        autostart=None if guest.autostart is None else guest.autostart.value,
    )


def _nic(nic: GuestNic) -> Mapping[str, Any]:
    """Returns the NIC without its addresses, which are stored with the NICs of machines, and without what most lack."""
    omitted = {"addresses"} if nic.own_vlan else {"addresses", "own_vlan", "vid"}
    return {name: value for name, value in to_dict(nic).items() if name not in omitted}


def is_resized(record: GuestRecord, machine: MachineSnapshot) -> bool:
    """Returns whether the guest's size differs from its machine's. An unread size (0) does not differ."""
    size = (record.cores, record.memory_mib)
    return bool(record.cores and record.memory_mib) and size != (machine.cores, machine.memory_mib)


def has_other_boot_disk(record: GuestRecord, machine: MachineSnapshot) -> bool:
    """Returns whether the guest boots from another disk of the machine than the ledger has."""
    place = record.boot_place()
    return place in machine.disks[1:]


def was_booted_once(record: GuestRecord, machine: MachineSnapshot) -> bool:
    """Returns whether the guest runs as was asked for one start, although no operation has recorded that start."""
    return record.booted_once is not None and record.booted_once == machine.boot_once_key


@frozen(kw_only=True)
class ServerSnapshot:
    """A server and the guests on it, read under the server's lock."""

    installation_id: UUID
    facts: HostFacts | None
    storage_pools: Mapping[str, StoragePool]
    guests: Mapping[GuestKey, GuestRecord]
    machines: Mapping[UUID, MachineSnapshot]
    machines_elsewhere: frozenset[UUID] = frozenset()  # machines of other servers whose markers were found here
    other_members: frozenset[str] = frozenset()  # members of the host's cluster that are hosts of their own
    markers_listed: bool = True  # False: listings show the marker only in the names of volumes
    tombstones: Mapping[UUID, Tombstone] = field(factory=dict)  # of markers that the run found
    new_tombstones: frozenset[UUID] = frozenset()  # written after the discovery run started
    old_tombstones: frozenset[UUID] = frozenset()  # 15 minutes older than the server's last run, or its first host
    reappeared: frozenset[GuestKey] = frozenset()  # guests whose tombstone was so old when they were first recorded
    huge_memory_mib: int = 0
    discrete_totals: Mapping[ResourceKey, int] = field(factory=dict)
    discrete: Mapping[ClaimHolder, DiscreteResources] = field(factory=dict)  # only holders of something
    storage: Mapping[int, Mapping[str, int]] = field(factory=dict)  # claimed bytes by machine and key of the pool
    volumes: VolumeSnapshot = NO_VOLUMES
    image_copies: CopySnapshot = NO_COPIES
