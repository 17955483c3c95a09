"""Names of a new disk: of its volume on the host, and the serial number that the guest sees."""

from __future__ import annotations

from attrs import frozen

from common.disks.device_names import lxd_device_name, lxd_serial
from common.disks.volume_names import short_volume_name, volume_name
from common.values import DriverType, OwnershipMarker
from regiond.requests.identifiers import serial

_SHORT = {"Incus"}  # products that accept at most 64 characters


@frozen(kw_only=True)
class DiskNames:
    volume: str
    serial: str


def names_of_new_disk(marker: OwnershipMarker, index: int, *, driver: str | None, product: str) -> DiskNames:
    """Returns the names of the machine's disk `index` (from 0) on a host with this driver and product."""
    return DiskNames(
        volume=name_of_new_volume(marker, index, product=product),
        serial=serial_of_new_disk(marker, index, driver=driver, product=product),
    )


def name_of_new_volume(marker: OwnershipMarker, index: int, *, product: str) -> str:
    return short_volume_name(marker, index) if product in _SHORT else volume_name(marker, index)


def serial_of_new_disk(marker: OwnershipMarker, index: int, *, driver: str | None, product: str) -> str:
    if driver == DriverType.LXD.value:
        return lxd_serial(lxd_device_name(index), product=product)
    return serial(marker.machine_id, index)
