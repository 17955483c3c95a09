"""Checks of an instance's config and devices, in the order in which LXD makes them."""

from __future__ import annotations

from collections.abc import Mapping

from rackd.drivers.lxd.inventory.config_values import size_bytes
from tests.lxd_http.messages import Refused
from tests.lxd_http.state import NETWORK, SHARED, Devices, Instance, Lxd

DEFAULT_ROOT_BYTES = 10 * 1024**3
_PREFIXES = ("boot.", "cloud-init.", "image.", "limits.", "migration.", "raw.", "security.", "user.", "volatile.")
_TYPES = frozenset({"disk", "nic", "none", "tpm"})
_GENERATED = frozenset({"cloud-init:config"})  # sources that LXD makes itself


def check_config(lxd: Lxd, config: Mapping[str, str]) -> None:
    for key, text in config.items():
        if not key.startswith(_PREFIXES) or key in lxd.release.unknown_keys:
            raise Refused(500, f"Unknown configuration key: {key}")
        if key == "limits.memory":
            _bytes(text)


def check_types(devices: Devices) -> None:
    for device in devices.values():
        if device.get("type") not in _TYPES:
            raise Refused(500, f"Invalid device type {device.get('type', '')}")


def check_devices(lxd: Lxd, one: Instance) -> None:
    """Refuses unknown types, NICs on unknown networks and two NICs of one name."""
    devices, names = lxd.expanded_devices(one), set()
    for name, device in sorted(devices.items()):
        failed = f'Invalid devices: Device validation failed for "{name}": '
        if device.get("type") not in _TYPES:
            raise Refused(500, f'{failed}Failed loading device "{name}": Unsupported device type')
        if device["type"] != "nic":
            continue
        network = device.get("network", NETWORK)
        if network != NETWORK:
            what = f'Failed to load network "{network}" for project "{one.project}": Network not found'
            raise Refused(404, f'{failed}Failed loading device "{name}": {what}')
        if device.get("name", name) in names:
            raise Refused(
                500, f'{failed}Invalid value for device option "name": Duplicate NIC name detected "{device["name"]}"'
            )
        names.add(device.get("name", name))


def check_root(lxd: Lxd, one: Instance) -> None:
    """Refuses an instance without a root disk, or with one in an unknown storage pool."""
    root = root_of(lxd.expanded_devices(one))
    if root is None:
        raise Refused(500, "Invalid devices: Failed detecting root disk device: No root device could be found")
    if root.get("pool") not in lxd.pools:
        raise Refused(404, "Failed loading storage pool: Storage pool not found")


def check_root_stays(lxd: Lxd, before: Instance, after: Instance) -> None:
    """Refuses to remove the root disk or to move it to another storage pool. It can grow."""
    old, new = root_of(lxd.expanded_devices(before)), root_of(lxd.expanded_devices(after))
    if new is None:
        raise Refused(500, "Invalid expanded devices: Failed detecting root disk device: No root device could be found")
    if old is not None and new.get("pool") != old.get("pool"):
        raise Refused(500, f'Cannot update root disk device pool name to "{new.get("pool")}"')
    if old is not None and root_bytes(new) < root_bytes(old):
        raise Refused(500, 'Failed to update device "root": Block volumes cannot be shrunk: Cannot be shrunk')


def check_disks(lxd: Lxd, project: str, devices: Devices, *, of: Instance) -> None:
    """Refuses disks without their volume on the same member as the instance `of`, and those that another instance has,
    where one has a volume.
    """
    for name, device in sorted(devices.items()):
        pool, source = device.get("pool", ""), device.get("source", "")
        if device["type"] != "disk" or device.get("path") == "/" or source in _GENERATED:
            continue
        failed = f'Failed add validation for device "{name}": '
        if not pool:
            raise Refused(500, f'{failed}Missing source path "{source}" for disk "{name}"')
        if pool not in lxd.pools:
            raise Refused(404, f'{failed}Failed to get storage pool "{pool}": Storage pool not found')
        volume = lxd.volumes.get((project, pool, source))
        if volume is None or volume.member != of.member:
            raise Refused(404, f"{failed}Failed loading custom volume: Storage volume not found")
        if volume.content_type == "block" and device.get("path"):
            raise Refused(500, f"{failed}Custom block volumes cannot have a path defined")
        if volume.content_type == "iso":  # instances share it
            if device.get("path"):
                raise Refused(500, f"{failed}Custom ISO volumes cannot have a path defined")
            continue
        if volume.content_type != "block" and not device.get("path"):
            raise Refused(500, f"{failed}Custom filesystem volumes require a path to be defined")
        others = [one for one in lxd.having(volume) if one.name != of.name]
        if lxd.release.guards_volumes and others and volume.config.get(SHARED) != "true":
            raise Refused(500, f"{failed}Cannot add un-shared custom storage block volume to more than one instance")


def check_shareable(lxd: Lxd, one: Instance) -> None:
    """Refuses to move an instance to another storage pool whose copy may not have its volumes meanwhile."""
    for device in lxd.expanded_devices(one).values():
        volume = lxd.volumes.get((one.project, device.get("pool", ""), device.get("source", "")))
        if volume is not None and volume.content_type == "iso":
            continue
        if lxd.release.guards_volumes and volume is not None and volume.config.get(SHARED) != "true":
            reason = "Cannot add un-shared custom storage block volume to more than one instance"
            raise Refused(400, f"Instance move to destination failed: {reason}")


def root_of(devices: Devices) -> dict[str, str] | None:
    return next((one for one in devices.values() if one.get("type") == "disk" and one.get("path") == "/"), None)


def root_bytes(device: Mapping[str, str]) -> int:
    return _bytes(device["size"]) if device.get("size") else DEFAULT_ROOT_BYTES


def without_empty(devices: Devices) -> Devices:
    """LXD stores no empty value."""
    return {name: {key: text for key, text in device.items() if text} for name, device in devices.items()}


def _bytes(text: str) -> int:
    try:
        return size_bytes(text)
    except ValueError as error:
        raise Refused(500, f"Invalid value: {text}") from error
