"""A guest in the shape of its row, and whether its disks have the sizes that were requested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from attrs import frozen

from common.guest_facts import SETTINGS, GuestFacts, GuestSettings
from common.serialization import from_dict

ROUNDING_BYTES = 64 * 1024**2  # the most that a pool adds to a requested size: LVM allocates whole extents


SHARED = "shared"  # a key of a disk: another guest has it, too, and counts its space


class _Row(Protocol):
    def __getitem__(self, column: str, /) -> Any: ...


def settings_of_row(row: _Row, prefix: str = "") -> GuestSettings:
    """Returns the settings in these columns, whose names may have a prefix."""
    return from_dict({name: row[prefix + name] for name in SETTINGS}, GuestSettings)


@frozen(kw_only=True)
class GuestRecord(GuestFacts):
    """A guest in the shape of its row, so that stored and discovered guests compare as values.

    Each attribute is a column of the table `guest`.
    """

    guest_key: str
    marker_installation: UUID | None
    marker_machine: UUID | None
    machine_id: int | None  # None: a foreign guest
    power_state: str
    disks: tuple[Mapping[str, Any], ...]
    nics: tuple[Mapping[str, Any], ...]
    autostart: str | None = None

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
