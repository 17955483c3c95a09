"""Builds the requests that create an instance and its custom volumes from a GuestSpec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from common.disks.device_names import lxd_device_name
from common.errors import InvalidRequest
from common.guests.guest_placement import Placed
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.units import BYTES_PER_MIB
from common.values import Autostart
from rackd.drivers.architectures import kernel_architecture
from rackd.drivers.cloud_init_network import network_config
from rackd.drivers.lxd.connection.capabilities import UNKNOWN, Capabilities
from rackd.drivers.lxd.guests import cloud_init
from rackd.drivers.lxd.guests.nic_devices import device_of, is_leased, with_leases
from rackd.drivers.lxd.inventory.boot_order import PRIORITY, ROOT_PRIORITY
from rackd.drivers.lxd.inventory.guests import AUTOSTART
from rackd.drivers.lxd.inventory.ownership import COMPLETED_KEY, ROOT_VOLUME_KEY, VM, incomplete, marker_config

HUGE_PAGES, NO_HUGE_PAGES = "limits.memory.hugepages", "false"
PROFILE = "maas"  # applied if the project has it, so that an administrator can extend the instances
CLOUD_INIT = "cloud-init-config"  # cannot clash with a NIC: it is longer than an interface name
# A guest without LXD's agent reads cloud-init's config from a disk that LXD creates at start.
CLOUD_INIT_DISK = {"type": "disk", "source": "cloud-init:config"}
NODES_KEY = "limits.cpu.nodes"  # the NUMA nodes that were chosen
_TPM = "tpm"  # the name of the device


@frozen(kw_only=True)
class Prerequisites:
    """The facts that an instance config depends on: the project's networks by name, and what the server can do."""

    networks: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    capabilities: Capabilities = UNKNOWN


NO_PREREQUISITES = Prerequisites()


def instance_of(
    spec: GuestSpec,
    *,
    profile: Mapping[str, Any] | None,
    attempt: str,
    prerequisites: Prerequisites = NO_PREREQUISITES,
) -> dict[str, Any]:
    """Returns the body of `POST /1.0/instances`: an empty VM that boots from the network.

    The config marks it as incomplete, with the attempt, until `completion`. Its other disks must exist. `profile` is
    the project's profile of the name PROFILE. Raises InvalidRequest without a disk, Unsupported for a NIC kind that LXD
    lacks.
    """
    if not spec.disks:
        raise InvalidRequest("A virtual machine needs at least one disk.")
    return {
        "name": spec.name,
        "type": VM,
        "architecture": kernel_architecture(spec.architecture),
        "description": spec.description,
        "source": {"type": "none"},
        "profiles": [] if profile is None else [PROFILE],
        "config": {**config_of(spec, prerequisites, profile=profile), COMPLETED_KEY: incomplete(attempt)},
        "devices": devices_of(spec, prerequisites),
    }


def config_of(
    spec: GuestSpec, prerequisites: Prerequisites = NO_PREREQUISITES, *, profile: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """A pinned guest's memory is on the nodes of its cores; to choose nodes for others is a capability.

    A restricted project forbids the key of huge pages, whatever its value; only where the profile has the key too is
    the usual value needed.
    """
    in_profile = HUGE_PAGES in ((profile or {}).get("config") or {})
    usual = set() if in_profile else {(HUGE_PAGES, NO_HUGE_PAGES)}
    placement = placement_config(spec, prerequisites.capabilities).items()
    config = {
        **{key: text for key, text in placement if text and (key, text) not in usual},
        "limits.memory": str(spec.memory_mib * BYTES_PER_MIB),
        **secure_boot_config(prerequisites.capabilities, on=spec.secure_boot),
        ROOT_VOLUME_KEY: spec.disks[0].volume,
        **marker_config(spec.marker),
    }
    if spec.autostart is not None:
        config |= {key: text for key, text in autostart_config(spec.autostart).items() if text}
    network_config_text = network_config_of(spec, prerequisites)
    if network_config_text is not None:
        config[cloud_init.key(cloud_init.NETWORK_CONFIG, prerequisites.capabilities)] = network_config_text
    return config


def placement_config(spec: Placed, capabilities: Capabilities) -> dict[str, str]:
    """Returns the keys of cores, huge pages and NUMA nodes; empty removes one."""
    chooses_nodes = spec.numa_node_ids and not spec.pinned_core_ids
    nodes = ",".join(map(str, sorted(spec.numa_node_ids))) if chooses_nodes else ""
    return {
        "limits.cpu": limits_cpu(spec),
        HUGE_PAGES: NO_HUGE_PAGES if spec.huge_page_size_kib is None else "true",
        **({NODES_KEY: nodes} if capabilities.numa_placement else {}),
    }


def secure_boot_config(capabilities: Capabilities, *, on: bool) -> dict[str, str]:
    """Without Secure Boot, images need no signed boot loader."""
    if capabilities.boot_mode:  # LXD 6.7 and newer refuse `security.secureboot`
        return {"boot.mode": "uefi-secureboot" if on else "uefi-nosecureboot"}
    return {"security.secureboot": "true" if on else "false"}


def autostart_config(autostart: Autostart) -> dict[str, str]:
    """Returns the key; empty removes it: LXD then restores the state that the instance had when the server stopped."""
    return {AUTOSTART: {Autostart.ALWAYS: "true", Autostart.NEVER: "false", Autostart.LAST_STATE: ""}[autostart]}


def limits_cpu(spec: Placed) -> str:
    """`4` is any four cores; `0,2,5` are those three; `5-5` is core 5, since `5` would be any five."""
    if len(spec.pinned_core_ids) == 1:
        return f"{spec.pinned_core_ids[0]}-{spec.pinned_core_ids[0]}"
    return ",".join(map(str, spec.pinned_core_ids)) or str(spec.cores)


def network_config_of(spec: GuestSpec, prerequisites: Prerequisites) -> str | None:
    leased = {nic.name for nic in spec.nics if is_leased(nic, prerequisites.networks)}
    return network_config(spec.nics, leased=leased)


def completion(instance_id: str) -> dict[str, Any]:
    """Returns the change that records the instance as complete, and as no copy of another one."""
    return {"config": {COMPLETED_KEY: instance_id}}


def devices_of(spec: GuestSpec, prerequisites: Prerequisites = NO_PREREQUISITES) -> dict[str, Mapping[str, str]]:
    root, *others = spec.disks
    devices: dict[str, Mapping[str, str]] = {
        lxd_device_name(0): {
            "type": "disk",
            "path": "/",
            "pool": root.pool_id,
            "size": str(root.size_bytes),
            PRIORITY: str(ROOT_PRIORITY),
        }
    }
    for number, disk in enumerate(others, start=1):
        devices[lxd_device_name(number)] = volume_device(disk)
    for number, nic in enumerate(spec.nics):
        if nic.name in devices:
            raise InvalidRequest(f"{spec.name} has two devices named '{nic.name}'.")
        boots = nic.boot or (number == 0 and not any(one.boot for one in spec.nics))
        devices[nic.name] = device_of(nic, prerequisites.networks, boots=boots)
    if spec.tpm:
        devices[_TPM] = {"type": "tpm"}
    if network_config_of(spec, prerequisites) is not None:
        devices[CLOUD_INIT] = CLOUD_INIT_DISK
    return devices


def with_addresses(
    instance: Mapping[str, Any], network: Mapping[str, str], leases: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """Returns the body of `PUT /1.0/instances/NAME`: the instance with other addresses for its NICs.

    `network` has cloud-init's network config by its key, or nothing; `leases` is as `with_leases` takes them.
    """
    others = {key: text for key, text in instance["config"].items() if key not in cloud_init.NETWORK_KEYS}
    config = {**others, **network}
    devices = with_leases({key: one for key, one in instance["devices"].items() if key != CLOUD_INIT}, leases)
    if config.keys() & cloud_init.KEYS:
        devices[CLOUD_INIT] = CLOUD_INIT_DISK
    return changed(instance, config=config, devices=devices)


def changed(
    instance: Mapping[str, Any], *, config: Mapping[str, str], devices: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """Returns the body of `PUT /1.0/instances/NAME`: the instance with this config and these devices."""
    unchanged = ("architecture", "description", "ephemeral", "profiles", "stateful")
    return {**{key: instance[key] for key in unchanged if key in instance}, "config": config, "devices": devices}


def volume_device(disk: DiskSpec) -> Mapping[str, str]:
    """Returns the device with which an instance has a custom volume."""
    return {"type": "disk", "path": "", "pool": disk.pool_id, "source": disk.volume}


def custom_volume(disk: DiskSpec) -> dict[str, Any]:
    """Returns the body of `POST /1.0/storage-pools/POOL/volumes/custom`."""
    return {
        "name": disk.volume,
        "type": "custom",
        "content_type": "block",
        "config": {"size": str(disk.size_bytes)},
    }
