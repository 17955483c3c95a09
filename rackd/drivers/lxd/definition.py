"""A GuestSpec becomes what LXD is asked to make. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InvalidRequest, Unsupported
from common.lxd_disks import device_name
from common.units import BYTES_PER_MIB
from common.values import DiskSpec, GuestSpec, Mark, NicKind, NicSpec
from rackd.drivers.lxd.guests import (
    DEBIAN_ARCHITECTURES,
    HALF,
    INSTALLATION,
    MACHINE,
    MADE,
    ROOT_VOLUME,
    VM,
)

PROFILE = "maas"  # used when the project has it, so that an administrator can add to what we make
_KERNEL_ARCHITECTURES = {debian: kernel for kernel, debian in DEBIAN_ARCHITECTURES.items()}


def instance_of(spec: GuestSpec, *, has_profile: bool, attempt: str) -> dict[str, Any]:
    """The body of `POST /1.0/instances`: an empty VM that boots from the network, its further disks made before.

    It says of itself that it is half made, and by which attempt: see `finished`. Raises InvalidRequest without a
    disk, Unsupported for a card that LXD has not.
    """
    if not spec.disks:
        raise InvalidRequest("An LXD virtual machine has at least one disk.")
    return {
        "name": spec.name,
        "type": VM,
        "architecture": _KERNEL_ARCHITECTURES.get(spec.architecture, spec.architecture),
        "description": spec.description,
        "source": {"type": "none"},
        "profiles": [PROFILE] if has_profile else [],
        "config": {**config_of(spec), MADE: half_made(attempt)},
        "devices": devices_of(spec),
    }


def config_of(spec: GuestSpec) -> dict[str, str]:
    return {
        "limits.cpu": str(spec.cores),
        "limits.memory": str(spec.memory_mib * BYTES_PER_MIB),
        "limits.memory.hugepages": "false",
        "security.secureboot": "false",
        ROOT_VOLUME: spec.disks[0].volume,
        **mark_config(spec.mark),
    }


def half_made(attempt: str) -> str:
    return f"{HALF}-{attempt}"


def mark_config(mark: Mark) -> dict[str, str]:
    return {INSTALLATION: str(mark.installation_id), MACHINE: str(mark.machine_id)}


def finished(instance_id: str) -> dict[str, Any]:
    """The change that says that nothing is missing any more, and that this is no copy."""
    return {"config": {MADE: instance_id}}


def devices_of(spec: GuestSpec) -> dict[str, Mapping[str, str]]:
    root, *others = spec.disks
    devices: dict[str, Mapping[str, str]] = {
        device_name(0): {
            "type": "disk",
            "path": "/",
            "pool": root.pool_id,
            "size": str(root.size_bytes),
            "boot.priority": "0",
        }
    }
    for number, disk in enumerate(others, start=1):
        devices[device_name(number)] = {"type": "disk", "path": "", "pool": disk.pool_id, "source": disk.volume}
    for number, nic in enumerate(spec.nics):
        if nic.name in devices:
            raise InvalidRequest(f"Two devices of {spec.name} would be named '{nic.name}'.")
        devices[nic.name] = _nic(nic, boots=nic.boot or (number == 0 and not any(one.boot for one in spec.nics)))
    return devices


def _nic(nic: NicSpec, *, boots: bool) -> dict[str, str]:
    device = {"type": "nic", "name": nic.name, "hwaddr": nic.mac_address}
    match nic.kind:
        case NicKind.NETWORK:
            device["network"] = nic.source
        case NicKind.BRIDGE:
            device |= {"nictype": "bridged", "parent": nic.source}
        case NicKind.MACVLAN:
            device |= {"nictype": "macvlan", "parent": nic.source}
        case _:
            raise Unsupported(f"LXD has no cards of kind '{nic.kind}'.")
    if boots:
        device["boot.priority"] = "1"  # before the root disk's 0
    return device


def volume_of(disk: DiskSpec) -> dict[str, Any]:
    """The body of `POST /1.0/storage-pools/POOL/volumes/custom`."""
    return {
        "name": disk.volume,
        "type": "custom",
        "content_type": "block",
        "config": {"size": str(disk.size_bytes)},
    }
