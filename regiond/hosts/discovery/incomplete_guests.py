"""Completes, from the database, guests that a driver could not read fully. Pure.

libvirt reports NICs, architecture, pinned cores and huge pages one guest at a time, and some guests may not answer in
time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from common.values import NicKind
from regiond.hosts.discovery.snapshot import ServerSnapshot
from regiond.hosts.guest_record import GuestRecord
from regiond.ledger.model import NO_DISCRETE_RESOURCES, DiscreteResources

# What a driver reads of all guests in bulk, besides the disks. Every other field may not have been read.
_LISTED = (
    "project", "guest_key", "name", "marker_installation", "marker_machine", "machine_id", "power_state", "cores",
    "memory_mib", "kind", "autostart", "started_at",
)  # fmt: skip


def completed(record: GuestRecord, snapshot: ServerSnapshot) -> GuestRecord:
    """Returns `record`, with details that were not read taken from its last record, else from its machine's claims."""
    before = snapshot.guests.get(record.key)
    if before is not None:
        serials = {disk["device"]: disk["serial"] for disk in before.disks}
        return evolve(
            before,
            **{name: getattr(record, name) for name in _LISTED},
            disks=tuple({**disk, "serial": serials.get(disk["device"])} for disk in record.disks),
        )
    claimed = NO_DISCRETE_RESOURCES if record.machine_id is None else snapshot.discrete.get(record.machine_id)
    claimed = claimed or NO_DISCRETE_RESOURCES
    return evolve(
        record,
        pinned_core_ids=claimed.pinned_core_ids,
        huge_pages_backed=bool(claimed.huge_pages),
        nics=_nics_with_virtual_function(claimed),
    )


def _nics_with_virtual_function(claimed: DiscreteResources) -> tuple[Mapping[str, Any], ...]:
    """Returns the NICs that use a virtual function: the ledger knows no others."""
    ports = (port for port, count in sorted(claimed.functions.items()) for _ in range(count))
    return tuple({"mac_address": "", "kind": NicKind.SRIOV.value, "source": port} for port in ports)
