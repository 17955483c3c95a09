"""JSON of machines, with every key that a MAAS client decodes.

Values and functions that Innkeeper does not have are empty, off or null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from common.boot import BootDevice, StartOrder
from common.disks.device_names import block_device_name
from common.guest_facts import SETTINGS
from common.guests.sizes import GuestSize
from common.values import DriverType, PowerState
from regiond.api.declaration.serializer import (
    AS_TEXT,
    BOOL,
    INT,
    NUMBER,
    OBJECT,
    STR,
    TIMESTAMP,
    Serializer,
    array,
    constant,
    encoded,
    enum,
    fields_of,
    key,
    mapping,
    nullable,
    serializer,
)
from regiond.api.serializers.groups import DOMAIN_JSON, POOL_JSON, ZONE_JSON
from regiond.api.serializers.networks import INTERFACE_JSON, Interface, Link
from regiond.api.serializers.vm_hosts.hosts import full_architecture
from regiond.api.urls import machine_uri, uri
from regiond.groups.model import ResourcePool
from regiond.hosts.model import AS_ABOVE
from regiond.machines.values.disks import DiskView
from regiond.machines.values.model import AffinityMembership, MachineView
from regiond.machines.values.nics import NicView
from regiond.machines.values.power import WantedPower
from regiond.machines.values.resize import SizeRefusal
from regiond.machines.values.states import MAAS_STATUS, MachineState
from regiond.networks.model import DOMAIN_NAME
from regiond.requests.caller import Caller

STATUS: Mapping[MachineState, tuple[int, str]] = {
    state: (status.status, status.name) for state, status in MAAS_STATUS.items()
}
_POWER = {PowerState.ON: "on", PowerState.PAUSED: "on", PowerState.OFF: "off"}
_BY_ID_PREFIX: Mapping[str, str] = {DriverType.LIBVIRT: "virtio-", DriverType.LXD: "scsi-0QEMU_QEMU_HARDDISK_"}
BLOCK_SIZE = 512
_LINK_MODES = {"dhcp": "dhcp", "static": "static", "auto": "auto"}
_DESCRIBED = (MachineState.BROKEN, MachineState.FAILED_DEPLOYMENT, MachineState.FAILED_COMPOSE)
_TESTS = (
    "commissioning",
    "testing",
    "cpu_test",
    "memory_test",
    "network_test",
    "storage_test",
    "interface_test",
    "other_test",
)


def power_word(state: str) -> str:
    """Returns the power state in MAAS's words. A paused guest holds its memory and counts as on."""
    return next((word for known, word in _POWER.items() if known == state), "unknown")


def encode_interface(machine: MachineView, nic: NicView) -> Any:
    """Returns a NIC of a machine, as the interface that clients expect."""
    return INTERFACE_JSON.encode(
        Interface(
            id=nic.id,
            system_id=machine.system_id,
            name=nic.name,
            type="physical",
            enabled=True,
            tags=nic.tags,
            vlan=nic.vlan,
            links=_links(nic),
            mac_address=nic.mac_address,
            connected=True,
        )
    )


def _links(nic: NicView) -> list[Link]:
    """Returns a link for each address in a known subnet; without any, one with the NIC's subnet, if that is known.

    Every link has a subnet, because clients fail without it.
    """
    links = [
        Link(id=one.id, mode="dhcp", subnet=one.subnet, address=one.address)
        for one in nic.unassigned
        if one.subnet is not None
    ]
    if nic.subnet is not None and (nic.ip_address is not None or not links):
        mode = _LINK_MODES.get(nic.mode, "link_up")
        links.insert(0, Link(id=nic.link_id, mode=mode, subnet=nic.subnet, address=nic.ip_address))
    return links


@frozen(kw_only=True)
class DiskOfMachine:
    machine: MachineView
    disk: DiskView

    @property
    def name(self) -> str:
        return block_device_name("sd", self.disk.index)

    @property
    def is_boot_disk(self) -> bool:
        return self.disk == self.machine.boot_disk

    @property
    def pool(self) -> ResourcePool:
        return self.machine.pool

    def belongs_to(self, caller: Caller) -> bool:
        return self.machine.belongs_to(caller)

    @property
    def not_yours(self) -> str:
        return self.machine.not_yours

    @property
    def id_path(self) -> str | None:
        """Returns udev's path of the disk in the guest, known for guests that Innkeeper created on libvirt or LXD."""
        machine = self.machine
        prefix = (
            None
            if machine.adopted or not self.disk.serial or machine.driver is None
            else _BY_ID_PREFIX.get(machine.driver)
        )
        return None if prefix is None else f"/dev/disk/by-id/{prefix}{self.disk.serial}"


BLOCK_DEVICE_JSON: Serializer[DiskOfMachine] = serializer(
    "BlockDevice",
    key("resource_uri", STR, lambda one: uri("nodes", one.machine.system_id, "blockdevices", one.disk.id)),
    *fields_of(DiskOfMachine, "disk.id name"),
    key("path", STR, lambda one: f"/dev/disk/by-dname/{one.name}"),
    constant("used_for", STR, "Unused"),
    constant("uuid", nullable(STR), None),
    constant("model", nullable(STR), None),
    *fields_of(DiskOfMachine, "id_path disk.serial disk.tags", serial=nullable(STR)),
    constant("block_size", INT, BLOCK_SIZE),
    constant("used_size", INT, 0),
    *fields_of(DiskOfMachine, "size=disk.size_bytes available_size=disk.size_bytes"),
    constant("filesystem", nullable(OBJECT), None),
    constant("partitions", array(OBJECT), ()),
    key("system_id", STR, lambda one: one.machine.system_id),
    constant("type", STR, "physical"),
    constant("partition_table_type", nullable(STR), None),
    key("storage_pool", nullable(STR), lambda one: one.disk.storage_pool_key),
    key("storage_pool_name", nullable(STR), lambda one: one.disk.storage_pool_name),  # MAAS lacks it
    key("pending_size", nullable(INT), lambda one: one.disk.pending_size_bytes),  # MAAS lacks it
    key("missing", BOOL, lambda one: one.disk.missing),  # MAAS lacks it
    key("foreign", BOOL, lambda one: one.disk.is_foreign),  # MAAS lacks it
    constant("firmware_version", nullable(STR), None),
    constant("numa_node", nullable(INT), None),
)
_AFFINITY_GROUP: Serializer[AffinityMembership] = serializer(
    "AffinityGroup", *fields_of(AffinityMembership, "name=group policy hard violated_by", policy=AS_TEXT)
)


def _pod_id(machine: MachineView) -> int | None:
    """Returns the machine's host; after a failed compose, the host that failed, because clients fail without a host."""
    return machine.host_id if machine.host_id is not None else machine.failed_host_id


_POD_REFERENCE: Serializer[MachineView] = serializer(
    "PodReference",
    key("id", nullable(INT), _pod_id),
    key("name", STR, lambda machine: machine.host_name or ""),
    key("resource_uri", STR, lambda machine: uri("pods", _pod_id(machine) or 0)),
)
_PARENT_REFERENCE: Serializer[MachineView] = serializer(
    "MachineReference",
    key("system_id", STR, lambda machine: machine.host_system_id or ""),
    key("resource_uri", STR, lambda machine: machine_uri(machine.host_system_id or "")),
    constant("__incomplete__", BOOL, value=True),
)
_GATEWAY: Serializer[NicView | None] = serializer(
    "Gateway",
    key("gateway_ip", nullable(AS_TEXT), lambda nic: None if nic is None else nic.gateway),
    key("link_id", nullable(INT), lambda nic: None if nic is None else nic.link_id),
)
_GATEWAYS: Serializer[Sequence[NicView]] = serializer(
    "DefaultGateways",
    key("ipv4", _GATEWAY, lambda nics: _gateway_nic(nics, 4)),
    key("ipv6", _GATEWAY, lambda nics: _gateway_nic(nics, 6)),
)


def _gateway_nic(nics: Sequence[NicView], version: int) -> NicView | None:
    """Returns the NIC with the default route: the one that a user chose, else the first with a gateway."""
    found = [nic for nic in nics if nic.ip_address is not None and nic.ip_address.version == version and nic.gateway]
    chosen = (nic for nic in found if version in nic.gateway_versions)
    return next(chosen, found[0] if found else None)


def _owner_data(machine: MachineView) -> Mapping[str, str]:
    if machine.owner_data is None:
        raise AssertionError(f"{machine.system_id} was read without its owner data and cannot be shown")
    return machine.owner_data


def _annotations(machine: MachineView) -> Mapping[str, str]:
    """Returns the annotations, with the owner data: MAAS has one store for both."""
    return {**_owner_data(machine), **(machine.workload_annotations or {})}


def _status_message(machine: MachineView) -> str:
    described = machine.error_description if machine.state in _DESCRIBED else ""
    return described or MAAS_STATUS[machine.state].message


_SIZE: Serializer[GuestSize] = serializer("Size", *fields_of(GuestSize, "cores memory=memory_mib"))
_REFUSAL: Serializer[SizeRefusal] = serializer("SizeRefusal", *fields_of(SizeRefusal, "reason since"))
_START_ORDER: Serializer[StartOrder] = serializer("StartOrder", *fields_of(StartOrder, "priority delay=delay_s"))
_WANTED_POWER: Serializer[WantedPower] = serializer(
    "WantedPower", *fields_of(WantedPower, "state=word since set_by user", since=TIMESTAMP)
)
_POWER_KNOWN = fields_of(  # MAAS lacks them
    MachineView,
    "power_state_since=power_changed_at wanted_power host_unreachable_since=host_away_since",
    power_state_since=nullable(TIMESTAMP), wanted_power=nullable(_WANTED_POWER),
    host_unreachable_since=nullable(TIMESTAMP),
)  # fmt: skip
_MACHINE: Serializer[MachineView] = serializer(
    "Machine",
    key("resource_uri", STR, lambda machine: machine_uri(machine.system_id)),
    *fields_of(MachineView, "system_id hostname"),
    key("fqdn", STR, lambda machine: f"{machine.hostname}.{DOMAIN_NAME}"),
    *fields_of(MachineView, "tag_names=tags owner"),
    key("made_by", nullable(STR), lambda machine: machine.composed_by),  # MAAS lacks it
    key("unproven_since", nullable(TIMESTAMP), lambda machine: machine.unproven_since),  # MAAS lacks it
    key("stock", BOOL, lambda machine: machine.is_stock_now),  # MAAS lacks it
    key("owner_data", mapping(STR), _owner_data),
    key("agent_name", STR, lambda machine: machine.agent_name),
    key("workload_annotations", mapping(STR), _annotations),
    key("description", STR, lambda machine: machine.description),
    constant("node_type", INT, 0),
    constant("node_type_name", STR, "Machine"),
    constant("domain", DOMAIN_JSON, None),
    *fields_of(MachineView, "zone pool", zone=ZONE_JSON, pool=POOL_JSON),
    key("status", INT, lambda machine: STATUS[machine.state][0]),
    key("status_name", STR, lambda machine: STATUS[machine.state][1]),
    key("status_message", nullable(STR), _status_message),
    key("error_description", STR, lambda machine: machine.error_description),
    constant("status_action", nullable(STR), ""),
    key("power_state", STR, lambda machine: power_word(machine.power_state)),
    *_POWER_KNOWN,
    key("power_type", STR, lambda machine: machine.driver or "manual"),
    *fields_of(MachineView, "affinity_groups locked", affinity_groups=_AFFINITY_GROUP),
    key("autostart", STR, lambda machine: machine.autostart or AS_ABOVE),
    key("autostart_in_effect", nullable(STR), lambda machine: machine.autostart_in_effect),
    key("netboot", BOOL, lambda machine: not (machine.osystem or machine.as_found)),
    key("architecture", STR, lambda machine: full_architecture(machine.architecture)),
    *fields_of(MachineView, "memory=memory_mib cpu_count=cores pending=pending_size", pending=_SIZE),
    *fields_of(MachineView, "pending_refused=size_refusal", pending_refused=_REFUSAL),
    *fields_of(MachineView, "max_cores max_memory=max_memory_mib at_limit"),  # MAAS lacks them
    key("boot_order", nullable(array(enum(BootDevice))), lambda machine: machine.boot.order),
    key("pending_boot_order", array(enum(BootDevice)), lambda machine: machine.boot.pending),
    key("boot_once", array(enum(BootDevice)), lambda machine: machine.boot.once),
    key("iso", nullable(STR), lambda machine: machine.boot.iso or None),
    key("next_iso", nullable(STR), lambda machine: machine.boot.next_iso),
    *fields_of(MachineView, *(f"settings.{name}" for name in SETTINGS), start_order=_START_ORDER),
    *fields_of(MachineView, "maas_server maas_system_id"),  # MAAS lacks them
    constant("cpu_speed", nullable(INT), None),
    constant("hardware_info", mapping(STR), {}),
    key("hardware_uuid", nullable(AS_TEXT), lambda machine: None if machine.is_vm_host else machine.uuid),
    constant("bios_boot_method", nullable(STR), None),
    key(
        "ip_addresses",
        array(AS_TEXT),
        lambda machine: list(dict.fromkeys(address for nic in machine.nics for address in nic.addresses)),
    ),
    key(
        "interface_set",
        encoded(array(INTERFACE_JSON)),
        lambda machine: [encode_interface(machine, nic) for nic in machine.nics],
    ),
    constant("boot_interface", nullable(INTERFACE_JSON), None),  # the first one, see `_encode`
    key(
        "blockdevice_set",
        array(BLOCK_DEVICE_JSON),
        lambda machine: [DiskOfMachine(machine=machine, disk=disk) for disk in machine.disks],
    ),
    constant("physicalblockdevice_set", array(BLOCK_DEVICE_JSON), ()),  # the same
    constant("virtualblockdevice_set", array(BLOCK_DEVICE_JSON), ()),
    constant("boot_disk", nullable(BLOCK_DEVICE_JSON), None),  # one of them, see `_encode`
    key("storage", NUMBER, lambda machine: sum(disk.size_bytes for disk in machine.disks) / 1_000_000),
    constant("numanode_set", array(OBJECT), ()),
    key("pod", nullable(_POD_REFERENCE), lambda machine: None if _pod_id(machine) is None else machine),
    key("parent", nullable(_PARENT_REFERENCE), lambda machine: None if machine.host_system_id is None else machine),
    key("virtualmachine_id", nullable(INT), lambda machine: machine.guest_id),
    key("guest_name", nullable(STR), lambda machine: machine.guest_name),  # MAAS lacks it
    *fields_of(MachineView, "osystem distro_series"),
    # Innkeeper does not commission or test machines: these keys have the values of a new machine in MAAS.
    constant("hwe_kernel", nullable(STR), None),
    constant("min_hwe_kernel", nullable(STR), None),
    constant("disable_ipv4", BOOL, value=False),
    constant("ephemeral_deploy", BOOL, value=False),
    constant("enable_hw_sync", BOOL, value=False),
    constant("enable_kernel_crash_dump", BOOL, value=False),
    constant("is_dpu", BOOL, value=False),
    constant("is_sync_healthy", BOOL, value=False),
    constant("swap_size", nullable(INT), None),
    constant("address_ttl", nullable(INT), None),
    constant("sync_interval", nullable(INT), None),
    constant("last_sync", nullable(STR), None),
    constant("next_sync", nullable(STR), None),
    constant("current_commissioning_result_id", nullable(INT), None),
    constant("current_installation_result_id", nullable(INT), None),
    constant("current_testing_result_id", nullable(INT), None),
    *(constant(f"{test}_status", nullable(INT), None) for test in _TESTS),
    *(constant(f"{test}_status_name", nullable(STR), None) for test in _TESTS),
    key("default_gateways", _GATEWAYS, lambda machine: machine.nics),
    constant("bcaches", array(OBJECT), ()),
    constant("cache_sets", array(OBJECT), ()),
    constant("raids", array(OBJECT), ()),
    constant("volume_groups", array(OBJECT), ()),
    constant("special_filesystems", array(OBJECT), ()),
)


def _encode(machine: MachineView) -> dict[str, Any]:
    """Returns the JSON of the machine. Encodes interfaces and disks once, although several keys repeat them."""
    found: dict[str, Any] = _MACHINE.encode(machine)
    interfaces, disks = found["interface_set"], found["blockdevice_set"]
    first_interface = interfaces[0] if interfaces else None
    boot_disk = next((json for disk, json in zip(machine.disks, disks, strict=True) if disk == machine.boot_disk), None)
    found.update(physicalblockdevice_set=disks, boot_interface=first_interface, boot_disk=boot_disk)
    return found


MACHINE_JSON: Serializer[MachineView] = Serializer(schema=_MACHINE.schema, encode=_encode, source=MachineView)
COMPOSED_JSON: Serializer[str] = serializer(
    "Composed",
    key("system_id", STR, lambda system_id: system_id),
    key("resource_uri", STR, machine_uri),
)
POWER_STATE_JSON: Serializer[str] = serializer(
    "PowerState",
    key(
        "state",
        Serializer[str](schema={"type": "string", "enum": ["on", "off", "unknown", "error"]}, encode=power_word),
        lambda state: state,
    ),
)
