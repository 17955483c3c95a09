"""What the database holds about a server and its guests, as values to compare a discovery with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from attrs import field, frozen

from common.values import Guest, HostFacts, StoragePool
from common.wire import to_plain
from regiond.hosts.holdings import Holder, Key, Resource
from regiond.hosts.unused import NO_VOLUMES, KnownVolumes
from regiond.ledger.model import Counted


@frozen(kw_only=True)
class KnownMachine:
    id: int
    uuid: UUID
    hostname: str
    state: str
    power_state: str
    cores: int
    memory_mib: int
    on_this_host: bool
    settled: bool  # no operation acts on it, and nothing changed since the discovery began
    adopted: bool = False
    on_this_server: bool = True  # False: on another member of the same cluster, as far as we knew


@frozen(kw_only=True)
class GuestRow:
    """What is kept of a guest, in the shape of its row, so that rows and findings compare as values."""

    project: str
    guest_key: str
    name: str
    marked_installation: UUID | None
    marked_machine: UUID | None
    machine_id: int | None
    power_state: str
    cores: int
    memory_mib: int
    architecture: str
    pinned_core_ids: tuple[int, ...]
    huge_pages_backed: bool
    disks: tuple[Mapping[str, Any], ...]
    nics: tuple[Mapping[str, Any], ...]
    kind: str = "vm"

    @property
    def key(self) -> Key:
        return self.project, self.guest_key

    def disk_bytes(self) -> dict[str, int]:
        """Bytes by storage pool (its key); a disk in no pool of the host takes no room of any."""
        held: dict[str, int] = {}
        for disk in self.disks:
            if disk["pool_id"] is not None:
                held[disk["pool_id"]] = held.get(disk["pool_id"], 0) + int(disk["size_bytes"])
        return held


def is_resized(row: GuestRow, machine: KnownMachine) -> bool:
    """Whether the guest has another size than its machine; one that could not be read is no other."""
    return bool(row.cores and row.memory_mib) and (row.cores, row.memory_mib) != (machine.cores, machine.memory_mib)


@frozen(kw_only=True)
class Known:
    """What the database holds about a server, read under its lock."""

    installation_id: UUID
    facts: HostFacts | None
    storage_pools: Mapping[str, StoragePool]
    guests: Mapping[Key, GuestRow]
    machines: Mapping[UUID, KnownMachine]
    elsewhere: frozenset[UUID] = frozenset()  # machines of other servers, whose marks were found here
    fellow_members: frozenset[str] = frozenset()  # of the host's cluster, each a host of its own
    marks_told: bool = True  # False where a listing tells our mark by the names of volumes alone
    given_up: frozenset[UUID] = frozenset()  # tombstones
    given_up_since: frozenset[UUID] = frozenset()  # those written after the discovery began
    huge_memory_mib: int = 0
    counted_totals: Mapping[Resource, int] = field(factory=dict)
    counted: Mapping[Holder, Counted] = field(factory=dict)  # what machines and foreign guests hold, if anything
    unused: KnownVolumes = NO_VOLUMES


def row_of(guest: Guest, machine_id: int | None) -> GuestRow:
    """The guest as it is kept."""
    return GuestRow(
        project=guest.project,
        guest_key=guest.guest_id,
        name=guest.name,
        marked_installation=guest.mark.installation_id if guest.mark else None,
        marked_machine=guest.mark.machine_id if guest.mark else None,
        machine_id=machine_id,
        power_state=guest.power.value,
        cores=guest.cores,
        memory_mib=guest.memory_mib,
        architecture=guest.architecture,
        pinned_core_ids=guest.pinned_core_ids,
        huge_pages_backed=guest.huge_pages_backed,
        disks=tuple(to_plain(disk) for disk in guest.disks),
        nics=tuple(to_plain(nic) for nic in guest.nics),
        kind=guest.kind,
    )
