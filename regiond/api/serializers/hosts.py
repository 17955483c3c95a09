"""JSON of VM hosts, their projects and guests; unknown capacity is shown as zeros.

Such a host has no capabilities.
"""

from __future__ import annotations

from common.discovery import Problem
from common.values import Profile, Project
from regiond.api.declaration.serializer import (
    BOOL,
    INT,
    NUMBER,
    STR,
    TIMESTAMP,
    Serializer,
    array,
    constant,
    enum,
    key,
    nullable,
    serializer,
)
from regiond.api.serializers.capacity import CAPACITY_JSON, RESOURCE_CAPACITY_JSON
from regiond.api.serializers.clusters import available
from regiond.api.serializers.groups import POOL_JSON, ZONE_JSON
from regiond.api.serializers.hardware import GPU_JSON, NETWORK_DEVICE_JSON, NETWORK_JSON
from regiond.api.serializers.maintenance import MAINTENANCE_JSON
from regiond.api.urls import host_uri, uri
from regiond.hosts.model import AS_ABOVE, CAPABILITIES, Amounts, GuestView, HostState, HostView, StoragePoolView


def full_architecture(architecture: str) -> str:
    """`amd64` in MAAS's form: `amd64/generic`."""
    return architecture if "/" in architecture else f"{architecture}/generic"


def _total(host: HostView) -> Amounts:
    return host.total or Amounts()


def _used(host: HostView) -> Amounts:
    return host.used if host.total is not None else Amounts()


AMOUNTS_JSON: Serializer[Amounts] = serializer(
    "Amounts",
    key("cores", INT, lambda amounts: amounts.cores),
    key("memory", INT, lambda amounts: amounts.memory_mib),
    key("local_storage", INT, lambda amounts: amounts.storage_bytes),
)
_STORAGE_POOL: Serializer[StoragePoolView] = serializer(
    "StoragePool",
    key("id", STR, lambda pool: pool.pool_key),
    key("name", STR, lambda pool: pool.name),
    key("type", STR, lambda pool: pool.type),
    key("path", STR, lambda pool: pool.path),
    key("total", INT, lambda pool: pool.total_bytes),
    key("used", INT, lambda pool: pool.used_bytes),
    key("available", INT, lambda pool: pool.share_bytes(pool.used_bytes) - pool.used_bytes),
    key("default", BOOL, lambda pool: pool.is_default),
    key("capacity", RESOURCE_CAPACITY_JSON, lambda pool: pool.capacity),  # MAAS lacks it
    key("status", STR, lambda pool: pool.status),  # MAAS lacks it
)
_HOST_MACHINE: Serializer[HostView] = serializer(
    "HostMachine",
    key("system_id", nullable(STR), lambda host: host.machine_system_id or host.system_id),
    constant("__incomplete__", BOOL, value=True),
)
_PROFILE: Serializer[Profile] = serializer(
    "Profile",
    key("name", STR, lambda profile: profile.name),
    key("description", STR, lambda profile: profile.description),
)
_ERROR: Serializer[HostView] = serializer(
    "HostError",
    key("code", STR, lambda host: host.error_code or ""),
    key("message", STR, lambda host: host.error_message or ""),
)
_PROBLEM: Serializer[Problem] = serializer(
    "HostProblem",
    key("subject", STR, lambda problem: problem.subject),
    key("message", STR, lambda problem: problem.message),
)
HOST_JSON: Serializer[HostView] = serializer(
    "VmHost",
    key("id", INT, lambda host: host.id),
    key("name", STR, lambda host: host.name),
    key("tags", array(STR), lambda host: host.tags),
    key("type", STR, lambda host: host.driver.value),
    key("architectures", array(STR), lambda host: [full_architecture(host.architecture)] if host.architecture else []),
    key("capabilities", array(STR), lambda host: CAPABILITIES if host.total is not None else ()),
    key("total", AMOUNTS_JSON, _total),
    key("used", AMOUNTS_JSON, _used),
    key("available", AMOUNTS_JSON, lambda host: available(_total(host), _used(host))),
    key("zone", ZONE_JSON, lambda host: host.zone),
    key("cpu_over_commit_ratio", NUMBER, lambda host: float(host.cpu_over_commit_ratio)),
    key("memory_over_commit_ratio", NUMBER, lambda host: float(host.memory_over_commit_ratio)),
    key(
        "storage_pools",
        array(_STORAGE_POOL),
        lambda host: [pool for pool in host.storage_pools if pool.missing_since is None],
    ),
    key("pool", POOL_JSON, lambda host: host.pool),
    key("host", _HOST_MACHINE, lambda host: host),
    key("default_macvlan_mode", nullable(STR), lambda host: host.default_macvlan_mode),
    key("autostart", STR, lambda host: AS_ABOVE if host.autostart is None else host.autostart.value),
    key("version", STR, lambda host: host.hypervisor_version or ""),
    key("networks", array(NETWORK_JSON), lambda host: host.networks),
    key("network_devices", array(NETWORK_DEVICE_JSON), lambda host: host.network_devices),
    key("gpus", array(GPU_JSON), lambda host: host.gpus),
    key("profiles", array(_PROFILE), lambda host: host.profiles),
    key("resource_uri", STR, lambda host: host_uri(host.id)),
    # MAAS lacks the keys from here on: it does not report why a host cannot be used.
    key("state", enum(HostState), lambda host: host.state),
    key("error", nullable(_ERROR), lambda host: None if host.error_code is None else host),
    key("capacity", nullable(CAPACITY_JSON), lambda host: host.capacity),
    key("problems", array(_PROBLEM), lambda host: host.problems),
    key("refreshed_at", nullable(TIMESTAMP), lambda host: host.refreshed_at),
    key("maintenance", nullable(MAINTENANCE_JSON), lambda host: host.maintenance),
    key("address", nullable(STR), lambda host: host.address or None),  # null: the caller is no administrator
    key("project", STR, lambda host: host.project),
    key("cluster", nullable(INT), lambda host: host.cluster_id),
    key("cluster_name", nullable(STR), lambda host: host.cluster_name),
    key("reserved_cores", INT, lambda host: host.reserved_cores),
    key("reserved_memory", INT, lambda host: host.reserved_memory_mib),
)
_PROJECT_AMOUNTS: Serializer[Project] = serializer(
    "ProjectAmounts",
    key("cores", INT, lambda project: project.cores),
    key("memory", INT, lambda project: project.memory_mib),
    key("local_storage", INT, lambda project: project.storage_bytes),
)
PROJECT_JSON: Serializer[Project] = serializer(
    "Project",
    key("name", STR, lambda project: project.name),
    key("description", STR, lambda project: project.description),
    key("guests", INT, lambda project: project.guests),
    key("used", _PROJECT_AMOUNTS, lambda project: project),
)
VIRTUAL_MACHINE_JSON: Serializer[GuestView] = serializer(
    "VirtualMachine",
    key("id", INT, lambda guest: guest.id),
    key("identifier", STR, lambda guest: guest.name),
    key("project", STR, lambda guest: guest.project),
    key("pinned_cores", array(INT), lambda guest: guest.pinned_core_ids),
    key("unpinned_cores", INT, lambda guest: 0 if guest.pinned_core_ids else guest.cores),
    key("memory", INT, lambda guest: guest.memory_mib),
    key("hugepages_backed", BOOL, lambda guest: guest.huge_pages_backed),
    key("machine_id", nullable(INT), lambda guest: guest.machine_id),
    key("bmc_id", INT, lambda guest: guest.host_id),
    key("resource_uri", STR, lambda guest: uri("virtual-machines", guest.id, slash=False)),
    # MAAS lacks the keys from here on.
    key("host_name", STR, lambda guest: guest.host_name),
    key("cpu_count", INT, lambda guest: guest.cores),
    key("power_state", STR, lambda guest: guest.power_state),
    key("system_id", nullable(STR), lambda guest: guest.system_id),
    key("hostname", nullable(STR), lambda guest: guest.hostname),
)
