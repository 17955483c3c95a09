"""A guest in the shape of its row, and whether its disks have the sizes that were requested."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from attrs import frozen

from common.removal_facts import NO_REMOVAL_FACTS, RemovalFacts

ROUNDING_BYTES = 64 * 1024**2  # the most that a pool adds to a requested size: LVM allocates whole extents


SHARED = "shared"  # a key of a disk: another guest has it, too, and counts its space


@frozen(kw_only=True)
class GuestRecord:
    """A guest in the shape of its row, so that stored and discovered guests compare as values."""

    project: str
    guest_key: str
    name: str
    marker_installation: UUID | None
    marker_machine: UUID | None
    machine_id: int | None  # None: a foreign guest
    power_state: str
    cores: int
    memory_mib: int
    architecture: str
    pinned_core_ids: tuple[int, ...]
    huge_pages_backed: bool
    disks: tuple[Mapping[str, Any], ...]
    nics: tuple[Mapping[str, Any], ...]
    kind: str = "vm"
    autostart: str | None = None
    started_at: datetime | None = None
    boot_device: str | None = None
    boot_order: tuple[str, ...] | None = None
    pending_boot_order: tuple[str, ...] = ()
    booted_once: str | None = None
    iso: str = ""
    next_iso: str | None = None
    uefi: bool | None = None
    secure_boot: bool | None = None
    start_order: Mapping[str, Any] | None = None
    tpm: bool | None = None
    generation: int | None = None
    removal: RemovalFacts = NO_REMOVAL_FACTS

    @property
    def key(self) -> tuple[str, str]:
        return self.project, self.guest_key

    def disk_bytes(self) -> dict[str, int]:
        """Returns the bytes of the disks by key of the storage pool, without disks outside the host's pools and those
        that another guest counts."""
        sizes: dict[str, int] = {}
        for disk in self.disks:
            if disk["pool_id"] is not None and not disk.get(SHARED):
                sizes[disk["pool_id"]] = sizes.get(disk["pool_id"], 0) + int(disk["size_bytes"])
        return sizes

    def boot_place(self) -> tuple[str, str] | None:
        """Returns the storage pool and volume of the disk that boots first; None if it is unknown, or in no pool."""
        found = next((disk for disk in self.disks if disk["device"] == self.boot_device), None)
        if found is None or found["pool_id"] is None:
            return None
        return str(found["pool_id"]), str(found["volume"] or found["device"])

    def missing_volumes(self) -> tuple[str, ...]:
        """Returns the names of volumes that do not exist although the guest has disks for them."""
        return tuple(str(disk["volume"] or disk["device"]) for disk in self.disks if disk["missing"])


def own_vlans(record: GuestRecord) -> dict[str, int | None]:
    """Returns the VLAN tag, None for no VLAN, of the NICs that have another VLAN than their network, by MAC address."""
    return {str(nic["mac_address"]): nic["vid"] for nic in record.nics if nic.get("own_vlan")}


def is_rounded(requested_bytes: int, found_bytes: int) -> bool:
    """Returns whether a disk of this size can be the requested one, rounded by its pool."""
    return 0 <= found_bytes - requested_bytes < ROUNDING_BYTES
