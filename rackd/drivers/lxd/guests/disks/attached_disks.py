"""Finds the devices with which an instance has its disks. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from rackd.drivers.lxd.inventory.boot_order import Device
from rackd.drivers.lxd.inventory.iso_volumes import sha256_of_device
from rackd.drivers.lxd.inventory.ownership import DEFAULT_PROJECT, ROOT_VOLUME_KEY, Json, config_of


def device_of(instance: Json, pool_id: str, volume: str) -> str | None:
    """Returns the device of a disk, which discovery lists with this storage pool and volume; None without it.

    It also finds the device of a volume that does not exist any more.
    """
    for name, device in _disks(instance).items():
        if device.get("pool") != pool_id:
            continue
        if volume in ({name, root_volume(instance)} if is_root(device) else labels(instance, device)):
            return name
    return None


def is_root(device: Device) -> bool:
    return device.get("path") == "/"


def root_volume(instance: Json) -> str:
    """Returns the root disk's name in the ledger; empty if Innkeeper has not composed it."""
    return config_of(instance).get(ROOT_VOLUME_KEY, "")


def labels(instance: Json, device: Device) -> set[str]:
    """Returns the names under which discovery may list the volume: that of one in another project includes it."""
    source = device.get("source", "")
    return {source, f"{_project(instance)}/{source}"} if source else set()


def source_of(instance: Json, volume: str) -> str:
    """Returns the name that a volume has in LXD."""
    return volume.removeprefix(f"{_project(instance)}/")


def volumes_of(instance: Json) -> list[str]:
    """Returns the names of all its disks, for a message."""
    return [
        (root_volume(instance) or name) if is_root(device) else device.get("source", "")
        for name, device in _disks(instance).items()
    ]


def _disks(instance: Json) -> Mapping[str, Device]:
    """Returns those with volumes, except the drives with ISO images, which are no disks to discovery either."""
    devices: Mapping[str, Device] = instance.get("expanded_devices") or {}
    return {
        name: device
        for name, device in devices.items()
        if device.get("type") == "disk" and device.get("pool") and not sha256_of_device(device)
    }


def _project(instance: Json) -> str:
    return str(instance.get("project") or DEFAULT_PROJECT)
