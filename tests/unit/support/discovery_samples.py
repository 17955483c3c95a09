"""Samples for tests of the discovery diff: discovery runs, snapshots before, and the snapshot after its changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from attrs import evolve

from common.hardware import NetworkDevice, NetworkPort
from common.hosts.discovery import Discovery
from common.values import Guest, GuestDisk, GuestNic, HostFacts, NicKind, OwnershipMarker, PowerState, StoragePool
from regiond.hosts.discovery.allocations import claim_holder, inventory_of
from regiond.hosts.discovery.model import ChangeKind, DiscoveryChanges, GuestChange
from regiond.hosts.discovery.snapshot import MachineSnapshot, ServerSnapshot, guest_record
from regiond.hosts.guest_record import GuestRecord
from regiond.ledger.model import NO_DISCRETE_RESOURCES
from regiond.machines.core.guest_changes import MachineGuestChanges

INSTALLATION, OTHER_INSTALLATION = UUID(int=100), UUID(int=200)
GIB = 1024**3
MACHINES = MachineGuestChanges()
NETWORK_DEVICE = NetworkDevice(numa_node=0, virtual_functions=8, ports=(NetworkPort(name="sim0"),))


def machine_uuid(number: int) -> UUID:
    return UUID(int=1000 + number)


def pool(name: str = "default", total_bytes: int = 100 * GIB, used_elsewhere_bytes: int = 0) -> StoragePool:
    return StoragePool(
        pool_id=name,
        name=name,
        type="dir",
        path=f"/{name}",
        total_bytes=total_bytes,
        used_elsewhere_bytes=used_elsewhere_bytes,
    )


def facts(**changes: Any) -> HostFacts:
    fields: dict[str, Any] = {
        "server_identity": "one", "hypervisor_version": "1.0", "architecture": "amd64", "cores": 8,
        "memory_mib": 8192, "storage_pools": (pool(),),
    }  # fmt: skip
    return HostFacts(**{**fields, **changes})


def guest(key: str, *, machine: int | None = None, installation: UUID = INSTALLATION, **changes: Any) -> Guest:
    marker = (
        None if machine is None else OwnershipMarker(installation_id=installation, machine_id=machine_uuid(machine))
    )
    fields: dict[str, Any] = {
        "name": f"vm-{key}", "guest_id": key, "power": PowerState.OFF, "cores": 1, "memory_mib": 1024, "marker": marker,
        "disks": (GuestDisk(device="vda", size_bytes=GIB, pool_id="default"),),
    }  # fmt: skip
    return Guest(**{**fields, **changes})


def discovery(*guests: Guest, **changes: Any) -> Discovery:
    return Discovery(facts=facts(**changes), guests=guests)


def machine(number: int, *, state: str = "ready", **changes: Any) -> MachineSnapshot:
    fields: dict[str, Any] = {
        "id": number, "uuid": machine_uuid(number), "system_id": f"sys{number}", "hostname": f"vm-{number}",
        "power_state": "off", "cores": 1, "memory_mib": 1024, "on_this_host": True, "settled": True,
        "expects_guest": MACHINES.expects_guest(state),
        "awaits_guest": MACHINES.awaits_guest(state),
    }  # fmt: skip
    return MachineSnapshot(**{**fields, **changes})


def snapshot(*machines: MachineSnapshot, guests: Iterable[GuestRecord] = (), **changes: Any) -> ServerSnapshot:
    fields: dict[str, Any] = {
        "installation_id": INSTALLATION, "facts": evolve(facts(), storage_pools=()),
        "storage_pools": {"default": pool()}, "guests": {record.key: record for record in guests},
        "machines": {one.uuid: one for one in machines},
        "storage": {one.id: {"default": GIB} for one in machines if one.on_this_server},
    }  # fmt: skip
    return ServerSnapshot(**{**fields, **changes})


def record(found: Guest, machine_id: int | None = None) -> GuestRecord:
    return guest_record(found, machine_id)


def written(before: ServerSnapshot, changes: DiscoveryChanges) -> ServerSnapshot:
    """The snapshot after `changes` were applied, as `regiond.hosts.discovery.apply` writes them."""
    pools = {key: one for key, one in before.storage_pools.items() if key not in changes.pools_missing}
    guests = {key: one for key, one in before.guests.items() if key not in changes.deleted_guests}
    moved = {one.machine_id for one in changes.guests_written} - {None}
    guests = {key: evolve(one, machine_id=None) if one.machine_id in moved else one for key, one in guests.items()}
    machines = {one.id: one for one in before.machines.values()}
    for change in changes.machines:
        machines[change.machine_id] = _changed(machines[change.machine_id], change)
    discrete = {key: one for key, one in before.discrete.items() if key not in changes.deleted_guests}
    for one in changes.guests_written:
        if one.machine_id is not None:
            discrete.pop(one.key, None)
    discrete |= {claim_holder(one): allocation.discrete for one, allocation in changes.allocations}
    huge_memory_mib = before.huge_memory_mib
    if changes.facts:
        huge_memory_mib = inventory_of(changes.facts.numa_nodes, ()).huge_memory_mib
    return evolve(
        before,
        huge_memory_mib=huge_memory_mib,
        discrete_totals={**before.discrete_totals, **changes.totals_written},
        storage={**before.storage, **{one.machine_id: one.now for one in changes.storage}},
        discrete={holder: one for holder, one in discrete.items() if one != NO_DISCRETE_RESOURCES},
        facts=changes.facts or before.facts,
        storage_pools={**pools, **{one.pool_id: one for one in changes.pools_written}},
        guests={**guests, **{one.key: one for one in changes.guests_written}},
        machines={one.uuid: one for one in machines.values()},
    )


def _changed(before: MachineSnapshot, change: GuestChange) -> MachineSnapshot:
    match change.kind:
        case ChangeKind.MISSING:
            return evolve(before, expects_guest=False, awaits_guest=True)
        case ChangeKind.RETURNED:
            return evolve(before, expects_guest=True, awaits_guest=False)
        case ChangeKind.POWER if change.guest:
            return evolve(before, power_state=change.guest.power_state)
        case ChangeKind.RESIZED if change.guest:
            return evolve(before, cores=change.guest.cores, memory_mib=change.guest.memory_mib)
        case ChangeKind.BOOT_DISK if change.guest and (place := change.guest.boot_place()):
            return evolve(before, disks=(place, *(one for one in before.disks if one != place)))
    return before


def function(port: str) -> GuestNic:
    return GuestNic(mac_address="02:00:00:00:00:01", kind=NicKind.SRIOV, source=port)


def changes_of(changes: DiscoveryChanges) -> list[tuple[ChangeKind, int]]:
    return [(one.kind, one.machine_id) for one in changes.machines]


def orphaned(changes: DiscoveryChanges) -> list[tuple[ChangeKind, str]]:
    return [(one.kind, one.guest_name) for one in changes.orphaned_guests]
