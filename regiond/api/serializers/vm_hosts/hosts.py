"""JSON of VM hosts, their projects and guests.

A host whose capacity is unknown has zeros and no capabilities.
"""

from __future__ import annotations

from common.hardware import HardwareDevice, NetworkDevice, NetworkPort
from common.hosts.discovery import Problem
from common.placement_groups import PlacementGroup
from common.values import HostNetwork, Profile, Project
from regiond.api.declaration.serializer import (
    AS_TEXT,
    BOOL,
    INT,
    NUMBER,
    STR,
    Serializer,
    array,
    constant,
    enum,
    extended,
    fields_of,
    key,
    nullable,
    serializer,
    uri_by_id,
)
from regiond.api.serializers.groups import POOL_JSON, ZONE_JSON
from regiond.api.serializers.vm_hosts.capacity import CAPACITY_JSON, RESOURCE_CAPACITY_JSON
from regiond.api.serializers.vm_hosts.maintenance import MAINTENANCE_JSON
from regiond.api.urls import uri
from regiond.hosts.error_details import Confirmation, ErrorDetails, Secret, TrustProblem
from regiond.hosts.model import AS_ABOVE, CAPABILITIES, Amounts, GuestView, HostView, StoragePoolView

# `attach_type` is the way in which a guest's NIC attaches to the network, `type` the hypervisor's word for the network.
NETWORK_JSON: Serializer[HostNetwork] = serializer(
    "HostNetwork",
    *fields_of(HostNetwork, "name type attach_type=kind attachable active dhcp cidrs vid", attach_type=AS_TEXT),
)
_PORT: Serializer[NetworkPort] = serializer(
    "NetworkPort",
    *fields_of(NetworkPort, "name mac_address link_connected=link"),
    key("link_speed", nullable(INT), lambda port: port.speed_mbps),  # Mbit/s
)
GPU_JSON: Serializer[HardwareDevice] = serializer(
    "Gpu",
    *fields_of(
        HardwareDevice,
        "pci_address usb_address vendor vendor_id product product_id driver numa_node virtual_functions",
        "virtual_functions_made",
    ),
)
NETWORK_DEVICE_JSON: Serializer[NetworkDevice] = extended(
    "NetworkDevice",
    GPU_JSON,
    lambda device: device,
    key("ports", array(_PORT), lambda device: device.ports),
)


def full_architecture(architecture: str) -> str:
    """Returns the architecture in MAAS's form: `amd64/generic` for `amd64`."""
    return architecture if "/" in architecture else f"{architecture}/generic"


def _total(host: HostView) -> Amounts:
    return host.total or Amounts()


def _used(host: HostView) -> Amounts:
    return host.used if host.total is not None else Amounts()


AMOUNTS_JSON: Serializer[Amounts] = serializer(
    "Amounts", *fields_of(Amounts, "cores memory=memory_mib local_storage=storage_bytes")
)
_STORAGE_POOL: Serializer[StoragePoolView] = serializer(
    "StoragePool",
    *fields_of(
        StoragePoolView,
        "id=pool_key name type path total=total_bytes used=used_bytes available=available_bytes default=is_default",
    ),
    # MAAS lacks these keys.
    *fields_of(StoragePoolView, "capacity status shares_space_with=shares_with", capacity=RESOURCE_CAPACITY_JSON),
)
_HOST_MACHINE: Serializer[HostView] = serializer(
    "HostMachine",
    key("system_id", nullable(STR), lambda host: host.machine_system_id or host.system_id),
    constant("__incomplete__", BOOL, value=True),
)
_PROFILE: Serializer[Profile] = serializer("Profile", *fields_of(Profile, "name description"))
# `policy` is spread or compact, `rigor` strict or permissive, as LXD says it.
_PLACEMENT_GROUP: Serializer[PlacementGroup] = serializer(
    "PlacementGroup", *fields_of(PlacementGroup, "name description policy rigor instances")
)
_CONFIRMATION: Serializer[Confirmation] = serializer("HostConfirmation", *fields_of(Confirmation, "op field value"))
# Facts of an error that a person has to resolve. `confirm` is the call of the host that accepts what it presents.
_ERROR_DETAILS: Serializer[ErrorDetails] = serializer(
    "HostErrorDetails",
    key("kind", nullable(enum(TrustProblem)), lambda details: details.kind),
    *fields_of(ErrorDetails, "pinned offered expected known reported host"),
    key("secret", nullable(enum(Secret)), lambda details: details.secret),
    *fields_of(ErrorDetails, "reason"),
    key("confirm", nullable(_CONFIRMATION), lambda details: details.confirmation),
)
_ERROR: Serializer[HostView] = serializer(
    "HostError",
    key("code", STR, lambda host: host.error_code or ""),
    key("message", STR, lambda host: host.error_message or ""),
    key("details", nullable(_ERROR_DETAILS), lambda host: host.error_details),
)
_PROBLEM: Serializer[Problem] = serializer("HostProblem", *fields_of(Problem, "subject message"))
HOST_JSON: Serializer[HostView] = serializer(
    "VmHost",
    *fields_of(HostView, "id name tags type=driver", type=AS_TEXT),
    key("architectures", array(STR), lambda host: [full_architecture(host.architecture)] if host.architecture else []),
    key("capabilities", array(STR), lambda host: CAPABILITIES if host.total is not None else ()),
    key("total", AMOUNTS_JSON, _total),
    key("used", AMOUNTS_JSON, _used),
    key("available", AMOUNTS_JSON, lambda host: _total(host) - _used(host)),
    *fields_of(HostView, "zone", zone=ZONE_JSON),
    key("cpu_over_commit_ratio", NUMBER, lambda host: float(host.cpu_over_commit_ratio)),
    key("memory_over_commit_ratio", NUMBER, lambda host: float(host.memory_over_commit_ratio)),
    key(
        "storage_pools",
        array(_STORAGE_POOL),
        lambda host: [pool for pool in host.storage_pools if pool.missing_since is None],
    ),
    *fields_of(HostView, "pool", pool=POOL_JSON),
    key("host", _HOST_MACHINE, lambda host: host),
    *fields_of(HostView, "default_macvlan_mode default_network"),  # MAAS lacks the second
    key("autostart", STR, lambda host: AS_ABOVE if host.autostart is None else host.autostart.value),
    key("version", STR, lambda host: host.hypervisor_version or ""),
    *fields_of(
        HostView,
        "product networks network_devices gpus profiles",
        networks=NETWORK_JSON,
        network_devices=NETWORK_DEVICE_JSON,
        gpus=GPU_JSON,
        profiles=_PROFILE,
    ),
    uri_by_id("vm-hosts"),
    # MAAS lacks the keys from here on: it does not report why a host cannot be used.
    *fields_of(HostView, "state"),
    key("error", nullable(_ERROR), lambda host: None if host.error_code is None else host),
    *fields_of(
        HostView,
        "capacity problems refreshed_at placement_groups maintenance",
        capacity=CAPACITY_JSON,
        problems=_PROBLEM,
        placement_groups=_PLACEMENT_GROUP,
        maintenance=MAINTENANCE_JSON,
    ),
    key("address", nullable(STR), lambda host: host.address or None),  # null: the caller is no administrator
    *fields_of(HostView, "project cluster=cluster_id cluster_name reserved_cores reserved_memory=reserved_memory_mib"),
)
_PROJECT_AMOUNTS: Serializer[Project] = serializer(
    "ProjectAmounts", *fields_of(Project, "cores memory=memory_mib local_storage=storage_bytes")
)
PROJECT_JSON: Serializer[Project] = serializer(
    "Project",
    *fields_of(Project, "name description guests"),
    key("used", _PROJECT_AMOUNTS, lambda project: project),
)
VIRTUAL_MACHINE_JSON: Serializer[GuestView] = serializer(
    "VirtualMachine",
    *fields_of(GuestView, "id identifier=name project pinned_cores=pinned_core_ids"),
    key("unpinned_cores", INT, lambda guest: 0 if guest.pinned_core_ids else guest.cores),
    *fields_of(GuestView, "memory=memory_mib hugepages_backed=huge_pages_backed machine_id bmc_id=host_id"),
    key("resource_uri", STR, lambda guest: uri("virtual-machines", guest.id, slash=False)),
    # MAAS lacks the keys from here on.
    *fields_of(GuestView, "host_name cpu_count=cores power_state system_id hostname"),
)
