"""Discoveries, what was known before them, and what is known once their changes are written, for tests of intake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from attrs import evolve

from common.discovery import Discovery
from common.hardware import NetworkCard, NetworkPort
from common.values import Guest, GuestDisk, GuestNic, HostFacts, Mark, NicKind, PowerState, StoragePool
from regiond.hosts.holdings import holder_of, stock_of
from regiond.hosts.intake import Changes, Finding
from regiond.hosts.known import GuestRow, Known, KnownMachine, row_of
from regiond.ledger.model import NOTHING_COUNTED

OURS, OTHERS = UUID(int=100), UUID(int=200)
GIB = 1024**3
CARD = NetworkCard(numa_node=0, virtual_functions=8, ports=(NetworkPort(name="sim0"),))


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


def guest(key: str, *, machine: int | None = None, installation: UUID = OURS, **changes: Any) -> Guest:
    mark = None if machine is None else Mark(installation_id=installation, machine_id=machine_uuid(machine))
    fields: dict[str, Any] = {
        "name": f"vm-{key}", "guest_id": key, "power": PowerState.OFF, "cores": 1, "memory_mib": 1024, "mark": mark,
        "disks": (GuestDisk(device="vda", size_bytes=GIB, pool_id="default"),),
    }  # fmt: skip
    return Guest(**{**fields, **changes})


def discovery(*guests: Guest, **changes: Any) -> Discovery:
    return Discovery(facts=facts(**changes), guests=guests)


def machine(number: int, **changes: Any) -> KnownMachine:
    fields: dict[str, Any] = {
        "id": number, "uuid": machine_uuid(number), "hostname": f"vm-{number}", "state": "ready",
        "power_state": "off", "cores": 1, "memory_mib": 1024, "on_this_host": True, "settled": True,
    }  # fmt: skip
    return KnownMachine(**{**fields, **changes})


def known(*machines: KnownMachine, guests: Iterable[GuestRow] = (), **changes: Any) -> Known:
    fields: dict[str, Any] = {
        "installation_id": OURS, "facts": evolve(facts(), storage_pools=()), "storage_pools": {"default": pool()},
        "guests": {row.key: row for row in guests}, "machines": {one.uuid: one for one in machines},
    }  # fmt: skip
    return Known(**{**fields, **changes})


def row(found: Guest, machine_id: int | None = None) -> GuestRow:
    return row_of(found, machine_id)


def written(before: Known, changes: Changes) -> Known:
    """What the database holds after `changes`, as `regiond.hosts.intake_store` writes them."""
    pools = {key: one for key, one in before.storage_pools.items() if key not in changes.pools_missing}
    guests = {key: one for key, one in before.guests.items() if key not in changes.guests_gone}
    moved = {one.machine_id for one in changes.guests_written} - {None}
    guests = {key: evolve(one, machine_id=None) if one.machine_id in moved else one for key, one in guests.items()}
    machines = {one.id: one for one in before.machines.values()}
    for finding in changes.machines:
        one = machines[finding.machine_id]
        match finding.finding:
            case Finding.MISSING:
                one = evolve(one, state="missing")
            case Finding.RETURNED:
                one = evolve(one, state="ready")
            case Finding.POWER if finding.guest:
                one = evolve(one, power_state=finding.guest.power_state)
            case Finding.RESIZED if finding.guest:
                one = evolve(one, cores=finding.guest.cores, memory_mib=finding.guest.memory_mib)
        machines[one.id] = one
    counted = {key: one for key, one in before.counted.items() if key not in changes.guests_gone}
    for row in changes.guests_written:
        if row.machine_id is not None:
            counted.pop(row.key, None)
    counted |= {holder_of(row): held.counted for row, held in changes.held}
    return evolve(
        before,
        huge_memory_mib=stock_of(changes.facts.numa_nodes, ()).huge_memory_mib
        if changes.facts
        else before.huge_memory_mib,
        counted_totals={**before.counted_totals, **changes.totals_written},
        counted={holder: one for holder, one in counted.items() if one != NOTHING_COUNTED},
        facts=changes.facts or before.facts,
        storage_pools={**pools, **{one.pool_id: one for one in changes.pools_written}},
        guests={**guests, **{one.key: one for one in changes.guests_written}},
        machines={one.uuid: one for one in machines.values()},
    )


def function(port: str) -> GuestNic:
    return GuestNic(mac_address="02:00:00:00:00:01", kind=NicKind.SRIOV, source=port)


def findings(changes: Changes) -> list[tuple[Finding, int]]:
    return [(one.finding, one.machine_id) for one in changes.machines]


def told(changes: Changes) -> list[tuple[Finding, str]]:
    return [(one.finding, one.guest_name) for one in changes.leftovers]
