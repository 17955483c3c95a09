"""The composed machines of the made-up MAAS: 40 on its hosts, each third with something uncommon."""

from __future__ import annotations

from uuid import UUID

from tests.maas_site.hosts import (
    FIRST_MORE_HOST,
    HOST_NODE,
    LIBVIRT,
    MEMBERS,
    NORTH,
    PROJECTS,
    SOUTH,
    host_address,
    interface,
    node,
    storage_pool,
)  # fmt: skip
from tests.maas_site.networks import (
    APPS,
    APPS_IPV6,
    APPS_VLAN,
    BOOT,
    BOOT_VLAN,
    CONSOLE_TAG,
    DATABASE_TAG,
    STORAGE,
    STORAGE_VLAN,
    VIRTUAL_TAG,
    address,
)  # fmt: skip
from tests.maas_site.people import ADMIN, EXTERNAL, OPERATOR
from tests.maas_site.tables import JOINED, Row, Tables

COUNT = 40
FIRST_NODE = 101
GIB = 1024**3
READY, DEPLOYED, DEPLOYING, ALLOCATED = 4, 6, 9, 10
# What is uncommon, by the number of the machine.
IN_MOTION, LOST, DYNAMIC, LOCKED, JUJU, HUGE_PAGES, SYNCED, SPELLED, BRIDGED, TRIED = (
    3,
    7,
    8,
    12,
    14,
    16,
    18,
    19,
    21,
    24,
)
PINNED = (4, 5)
UNMANAGED = "elsewhere"  # a VM of another project, without a machine
_TIMES = {"created": JOINED, "updated": JOINED}


def host_of(index: int) -> int:
    """The host of one of the 40 machines."""
    if index < 20:
        return NORTH if index < 10 else SOUTH
    return MEMBERS[index % 3] if index < 32 else LIBVIRT


def machines(copy: int = 0) -> Tables:
    """The rows of 40 machines. Copies after the first are on one more host each, with nothing uncommon."""
    found: Tables = {} if copy else {"maasserver_virtualmachine": [_unmanaged()]}
    for index in range(COUNT):
        for name, rows in _machine(copy, index).items():
            found.setdefault(name, []).extend(rows)
    return found


def hostname(number: int) -> str:
    return f"vm-{number:02}"


def _machine(copy: int, index: int) -> Tables:
    number = copy * COUNT + index
    host = FIRST_MORE_HOST + copy - 1 if copy else host_of(index)
    special = index if not copy else -1
    status = _status(special, index)
    row = _node(number, host, status, special)
    rows: Tables = {
        "maasserver_node": [row],
        "maasserver_nodeconfig": [{"id": row["id"], "node_id": row["id"], "name": "discovered", **_TIMES}],
        "maasserver_node_tags": [
            {"id": row["id"] * 10 + tag, "node_id": row["id"], "tag_id": tag}
            for tag in (CONSOLE_TAG, VIRTUAL_TAG, DATABASE_TAG)
            if tag != DATABASE_TAG or index % 4 == 1
        ],
        "maasserver_ownerdata": _owner_data(row["id"], special),
        **_interfaces(number, index, row, special),
    }
    disks = _disks(row, host, index, special)
    rows |= disks
    if special == SYNCED:
        _add_deployment_configuration(rows, row)
    if special != LOST:
        rows["maasserver_virtualmachine"] = [_vm(row, host, special)]
        rows["maasserver_virtualmachineinterface"] = [
            {"id": one["id"], "vm_id": row["id"], "mac_address": one["mac_address"].lower().replace("-", ":"),
             "attachment_type": ("network", "bridge", "macvlan")[place], "host_interface_id": None, **_TIMES}
            for place, one in enumerate(
                one for one in rows["maasserver_interface"]
                if one["type"] == "physical" and one["node_config_id"] == row["id"]
            )
        ]  # fmt: skip
    else:
        del rows["maasserver_virtualmachinedisk"]
    return rows


def _status(special: int, index: int) -> int:
    if special in {IN_MOTION, LOST}:
        return DEPLOYING if special == IN_MOTION else DEPLOYED
    if special in {JUJU, DYNAMIC, LOCKED, SYNCED}:
        return DEPLOYED
    return (DEPLOYED, DEPLOYED, READY, ALLOCATED)[index % 4]


def _node(number: int, host: int, status: int, special: int) -> Row:
    name, project = hostname(number), PROJECTS.get(host, "maas")
    held = status in {DEPLOYED, DEPLOYING, ALLOCATED}
    installed = status in {DEPLOYED, DEPLOYING}
    instance = {"power_id": name} if host == LIBVIRT else {"instance_name": name, "project": project}
    if special == SPELLED:  # it was renamed in MAAS, which renames no VM
        instance["instance_name"] = "its-first-name"
    owner = (ADMIN, OPERATOR, EXTERNAL)[number % 3]
    return node(
        FIRST_NODE + number, name, domain_id=int(number % 5 == 0), zone_id=(number + 1) % 3 + 1, pool_id=number % 3,
        owner_id=owner if held else None, status=status, previous_status=READY,
        power_state="error" if special == LOST else "on" if installed else "off", bmc_id=host,
        cpu_count=number % 4 + 1, memory=2048 * (number % 3 + 1), instance_power_parameters=instance,
        parent_id=HOST_NODE.get(host), dynamic=special == DYNAMIC, netboot=not installed,
        osystem="ubuntu" if installed else "", distro_series="noble" if installed else "",
        bios_boot_method=None if host == LIBVIRT else "uefi",
        hardware_uuid=None if number % 7 == 6 else str(UUID(int=0xC0FFEE_0000_4000_8000_000000000000 + number)),
        locked=special == LOCKED, description="Line one\nline\ttwo \\ three" if special == LOCKED else "",
        enable_hw_sync=special == SYNCED, current_config_id=_configuration(FIRST_NODE + number, special),
    )  # fmt: skip


def _configuration(number: int, special: int) -> int:
    return number + 1_000_000 if special == SYNCED else number


def _owner_data(number: int, special: int) -> list[Row]:
    values = {
        "juju-controller-uuid": "8f2a5c1e-7d3b-4b8a-9c55-0a9d6f1e2b3c",
        "juju-model-uuid": "1c9e4d7a-2b6f-4e0d-8a13-5f7c9b2d4e6a",
        "juju-machine-id": "model-machine-4",
        "juju-units-deployed": 'postgresql/0 "a\\b"',
    }
    if special != JUJU:
        return []
    return [
        {"id": number * 10 + place, "node_id": number, "key": key, "value": value}
        for place, (key, value) in enumerate(values.items())
    ]


def _mac(number: int, place: int) -> str:
    return f"00:16:3e:{number >> 8 & 255:02x}:{number & 255:02x}:{place:02x}"


def _interfaces(number: int, index: int, row: Row, special: int) -> Tables:
    """eth0 boots; each third machine has a fixed address besides, each fifth a third NIC with DHCP."""
    first, config = row["id"] * 10, row["id"]
    held = row["status"] != READY
    mac = _mac(number, 0)
    interfaces = [
        interface(first, config, "eth0", mac.upper().replace(":", "-") if special == SPELLED else mac, BOOT_VLAN)
    ]
    addresses = [host_address(first, address(BOOT, 0x1000 + number) if held else None, alloc_type=0)]
    joined = [(first, first)]
    if index % 3 == 0:
        interfaces.append(interface(first + 1, config, "eth1", _mac(number, 1), APPS_VLAN, tags=["apps", "fast"]))
        addresses.append(host_address(first + 1, address(APPS, 0x1000 + number), subnet=APPS))
        joined.append((first + 1, first + 1))
    if index % 15 == 0:
        addresses.append(host_address(first + 2, address(APPS_IPV6, 0x1000 + number), subnet=APPS_IPV6))
        joined.append((first + 1, first + 2))
    if index % 15 == 5:
        interfaces.append(interface(first + 2, config, "eth2", _mac(number, 2), STORAGE_VLAN))
        addresses.append(host_address(first + 3, None, alloc_type=5, subnet=STORAGE))
        addresses.append(host_address(first + 4, address(STORAGE, 0x2000 + number), alloc_type=6, subnet=STORAGE))
        joined += [(first + 2, first + 3), (first + 2, first + 4)]
    if index % 15 == 10:
        interfaces.append(interface(first + 2, config, "eth2", _mac(number, 2), None, enabled=False))
    if index % 15 == 11:
        interfaces.append(interface(first + 2, config, "eth2", _mac(number, 2), APPS_VLAN))
        addresses.append(host_address(first + 3, None, subnet=APPS))  # a link that is only up
        joined.append((first + 2, first + 3))
    found: Tables = {}
    if special == TRIED:
        tried = host_address(first + 5, address(BOOT, 0x0F00), alloc_type=0)
        addresses.append(tried | {"temp_expires_on": JOINED})
        joined.append((first, first + 5))
    if special == BRIDGED:
        interfaces.append(interface(first + 3, config, "br0", mac, BOOT_VLAN, type="bridge", params={"mtu": 1500}))
        found["maasserver_interfacerelationship"] = [{"id": first, "parent_id": first, "child_id": first + 3, **_TIMES}]
    return found | {
        "maasserver_interface": interfaces,
        "maasserver_staticipaddress": addresses,
        "maasserver_interface_ip_addresses": [
            {"id": first + place, "interface_id": one, "staticipaddress_id": other}
            for place, (one, other) in enumerate(joined)
        ],
    }


def _disks(row: Row, host: int, index: int, special: int) -> Tables:
    """One disk, each fourth machine two. A refresh has replaced the rows of the pools of all odd ones."""
    first = row["id"] * 10
    sizes = [8 * GIB, 20 * GIB] if index % 4 == 0 else [(8 + index % 3) * GIB]
    devices: list[Row] = []
    rows: list[Row] = []
    for place, size in enumerate(sizes):
        pool = storage_pool(host, "fast" if place or index % 5 == 1 else "default")
        letter = "ab"[place]
        devices.append(_device(first + place, row["id"], f"sd{letter}", size))
        composed = {"id": first + place, "vm_id": row["id"], "name": f"sd{letter}", "size": size,
                    "backing_pool_id": pool, "block_device_id": first + place, **_TIMES}  # fmt: skip
        refreshed = composed | {"id": first + place + 5, "name": f"vd{place}", "block_device_id": None}
        if special == DYNAMIC:
            rows += [composed, refreshed]
        else:
            rows.append(refreshed if index % 2 else composed)
    return {
        "maasserver_blockdevice": devices,
        "maasserver_physicalblockdevice": [
            {"blockdevice_ptr_id": one["id"], "model": "QEMU HARDDISK", "serial": f"lxd_disk{one['name'][-1]}",
             "firmware_version": "2.5+", "numa_node_id": 1}
            for one in devices
        ],
        "maasserver_virtualmachinedisk": rows,
    }  # fmt: skip


def _device(number: int, config: int, name: str, size: int) -> Row:
    return {
        "id": number, "name": name, "id_path": f"/dev/disk/by-id/{name}", "size": size, "block_size": 512,
        "tags": ["ssd"] if name == "sda" else [], "node_config_id": config, **_TIMES,
    }  # fmt: skip


def _add_deployment_configuration(rows: Tables, row: Row) -> None:
    """A machine with hardware sync has all hardware twice: as it was found, and as it was deployed."""
    current = row["current_config_id"]
    rows["maasserver_nodeconfig"].append({"id": current, "node_id": row["id"], "name": "deployment", **_TIMES})
    rows["maasserver_interface"] += [
        one | {"id": one["id"] + 1_000_000, "node_config_id": current} for one in rows["maasserver_interface"]
    ]
    rows["maasserver_interface_ip_addresses"] = [
        one | {"interface_id": one["interface_id"] + 1_000_000} for one in rows["maasserver_interface_ip_addresses"]
    ]
    devices = rows["maasserver_blockdevice"]
    rows["maasserver_blockdevice"] = devices + [
        one | {"id": one["id"] + 1_000_000, "node_config_id": current} for one in devices
    ]
    rows["maasserver_physicalblockdevice"] += [
        one | {"blockdevice_ptr_id": one["blockdevice_ptr_id"] + 1_000_000}
        for one in rows["maasserver_physicalblockdevice"]
    ]


def _vm(row: Row, host: int, special: int) -> Row:
    parameters = row["instance_power_parameters"]
    pinned = list(range(row["cpu_count"])) if special in PINNED else []
    return {
        "id": row["id"], "bmc_id": host, "identifier": parameters.get("instance_name", parameters.get("power_id")),
        "project": PROJECTS.get(host, "maas"), "unpinned_cores": 0 if pinned else row["cpu_count"],
        "pinned_cores": pinned, "memory": row["memory"], "hugepages_backed": special == HUGE_PAGES,
        "machine_id": row["id"], **_TIMES,
    }  # fmt: skip


def _unmanaged() -> Row:
    return {
        "id": 1, "bmc_id": NORTH, "identifier": UNMANAGED, "project": "other", "unpinned_cores": 1, "pinned_cores": [],
        "memory": 1024, "hugepages_backed": False, "machine_id": None, **_TIMES,
    }  # fmt: skip
