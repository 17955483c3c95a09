"""Disks, NICs and addresses for the guests of contract tests."""

from __future__ import annotations

from typing import Any

from common.guest_spec import GuestSpec, NicAddress, NicSpec
from common.values import NicKind, OwnershipMarker

DISK_BYTES = 64 * 1024 * 1024


def nic(number: int, kind: NicKind, source: str = "", **fields: Any) -> NicSpec:
    return NicSpec(name=f"eth{number}", mac_address=f"52:54:00:00:00:0{number + 1}", kind=kind, source=source, **fields)


def address(text: str) -> NicAddress:
    return NicAddress(address=text, prefix_length=24)


def volumes_of(spec: GuestSpec) -> tuple[tuple[str, str], ...]:
    """Returns the (pool_id, volume) of its disks."""
    return tuple((disk.pool_id, disk.volume) for disk in spec.disks)


def free_serial(marker: OwnershipMarker, index: int) -> str:
    """Returns a unique serial of up to 20 characters."""
    return f"{marker.machine_id.hex[:17]}-{index}"
