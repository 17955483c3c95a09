"""A GuestSpec becomes what LXD is asked to make. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from common.errors import InvalidRequest
from common.guest_network import network_config
from common.lxd_disks import device_name
from common.units import BYTES_PER_MIB
from common.values import DiskSpec, GuestSpec, Mark
from rackd.drivers.lxd.guests import (
    DEBIAN_ARCHITECTURES,
    HALF,
    INSTALLATION,
    MACHINE,
    MADE,
    ROOT_VOLUME,
    VM,
)
from rackd.drivers.lxd.nics import device_of, is_leased

PROFILE = "maas"  # used when the project has it, so that an administrator can add to what we make
CLOUD_INIT = "cloud-init-config"  # longer than a card's name can be
_NUMA_PLACEMENT, _CLOUD_INIT_KEYS = "numa_cpu_placement", "cloud_init"  # of the API
_KERNEL_ARCHITECTURES = {debian: kernel for kernel, debian in DEBIAN_ARCHITECTURES.items()}


@frozen(kw_only=True)
class Ground:
    """What a definition depends on: the networks of the project by name, and what the server's API can do."""

    networks: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    extensions: frozenset[str] = frozenset()


NOTHING_KNOWN = Ground()


def instance_of(spec: GuestSpec, *, has_profile: bool, attempt: str, ground: Ground = NOTHING_KNOWN) -> dict[str, Any]:
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
        "config": {**config_of(spec, ground), MADE: half_made(attempt)},
        "devices": devices_of(spec, ground),
    }


def config_of(spec: GuestSpec, ground: Ground = NOTHING_KNOWN) -> dict[str, str]:
    """Memory of a pinned guest comes from the nodes of its cores; that of others from anywhere on servers that cannot
    choose."""
    config = {
        "limits.cpu": limits_cpu(spec),
        "limits.memory": str(spec.memory_mib * BYTES_PER_MIB),
        "limits.memory.hugepages": "false" if spec.huge_page_size_kib is None else "true",
        "security.secureboot": "false",
        ROOT_VOLUME: spec.disks[0].volume,
        **mark_config(spec.mark),
    }
    if spec.numa_node_ids and not spec.pinned_core_ids and _NUMA_PLACEMENT in ground.extensions:
        config["limits.cpu.nodes"] = ",".join(map(str, sorted(spec.numa_node_ids)))
    told = network_config_of(spec, ground)
    if told is not None:
        namespace = "cloud-init" if _CLOUD_INIT_KEYS in ground.extensions else "user"
        config[f"{namespace}.network-config"] = told
    return config


def limits_cpu(spec: GuestSpec) -> str:
    """`4` is any four; `0,2,5` are those three; `5-5` is that one, since `5` would be any five."""
    if len(spec.pinned_core_ids) == 1:
        return f"{spec.pinned_core_ids[0]}-{spec.pinned_core_ids[0]}"
    return ",".join(map(str, spec.pinned_core_ids)) or str(spec.cores)


def network_config_of(spec: GuestSpec, ground: Ground) -> str | None:
    leased = {nic.name for nic in spec.nics if is_leased(nic, ground.networks)}
    return network_config(spec.nics, leased=leased)


def half_made(attempt: str) -> str:
    return f"{HALF}-{attempt}"


def mark_config(mark: Mark) -> dict[str, str]:
    return {INSTALLATION: str(mark.installation_id), MACHINE: str(mark.machine_id)}


def finished(instance_id: str) -> dict[str, Any]:
    """The change that says that nothing is missing any more, and that this is no copy."""
    return {"config": {MADE: instance_id}}


def devices_of(spec: GuestSpec, ground: Ground = NOTHING_KNOWN) -> dict[str, Mapping[str, str]]:
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
        boots = nic.boot or (number == 0 and not any(one.boot for one in spec.nics))
        devices[nic.name] = device_of(nic, ground.networks, boots=boots)
    if network_config_of(spec, ground) is not None:
        # A guest without LXD's agent reads what it is told from a disk that LXD makes when it starts.
        devices[CLOUD_INIT] = {"type": "disk", "source": "cloud-init:config"}
    return devices


def volume_of(disk: DiskSpec) -> dict[str, Any]:
    """The body of `POST /1.0/storage-pools/POOL/volumes/custom`."""
    return {
        "name": disk.volume,
        "type": "custom",
        "content_type": "block",
        "config": {"size": str(disk.size_bytes)},
    }
