"""Answers about machines: vm-hosts.md 4.2, with the data of continuity.md 2.5 to 2.7 and the lists of its section 3."""

from __future__ import annotations

from typing import Any

from tests.maas_api.host_answers import effective_parameters
from tests.maas_api.messages import Answer, Request, json_answer, refused
from tests.maas_api.network_answers import domain, pool, subnet, vlan, zone
from tests.maas_api.rows import Rows
from tests.maas_api.state import Maas
from tests.maas_site.tables import Row

_MACHINE, _VM_HOST = 0, 1
_DISCOVERED = 6
_STATUS_NAMES = {4: "Ready", 6: "Deployed", 9: "Deploying", 10: "Allocated"}


def machines(maas: Maas, request: Request) -> Answer:
    """Whole objects, without paging; `id` and `pod` may repeat."""
    ids, pods = request.all("id"), request.all("pod")
    found = [one for one in _visible(maas, request) if not ids or one["system_id"] in ids]
    answers = [machine(maas.rows, one) for one in found]
    return json_answer([one for one in answers if not pods or (one["pod"] or {}).get("name") in pods])


def one_machine(maas: Maas, request: Request) -> Answer:
    for one in _visible(maas, request):
        if one["system_id"] == request.arguments[0]:
            return json_answer(machine(maas.rows, one))
    raise refused(404, "No Machine matches the given query.")


def power_parameters(maas: Maas, request: Request) -> Answer:
    """Those of host and instance merged, secrets included: for administrators, of all machines or those of `id`."""
    if not request.is_admin:
        raise refused(403, "This method is reserved for admin users.")
    ids = request.all("id")
    return json_answer(
        {
            one["system_id"]: _parameters(maas.rows, one)
            for one in maas.rows.where("node", "node_type", _MACHINE)
            if not ids or one["system_id"] in ids
        }
    )


def machine(rows: Rows, one: Row) -> dict[str, Any]:
    bmc = None if one["bmc_id"] is None else rows.one("bmc", one["bmc_id"])
    vm = rows.maybe("virtualmachine", one["id"], "machine_id")
    owner = None if one["owner_id"] is None else rows.one("auth_user", one["owner_id"])["username"]
    interfaces = [
        _interface(rows, one, each) for each in rows.where("interface", "node_config_id", one["current_config_id"])
    ]
    devices = [
        _device(rows, one, each) for each in rows.where("blockdevice", "node_config_id", one["current_config_id"])
    ]
    copied = (
        "system_id", "hostname", "description", "hardware_uuid", "locked", "bios_boot_method", "architecture",
        "hwe_kernel", "cpu_count", "cpu_speed", "memory", "status", "osystem", "distro_series", "netboot",
        "power_state", "node_type",
    )  # fmt: skip
    in_domain = rows.one("domain", one["domain_id"])
    return {key: one[key] for key in copied} | {
        "domain": domain(rows, in_domain), "fqdn": f"{one['hostname']}.{in_domain['name']}", "owner": owner,
        "owner_data": {each["key"]: each["value"] for each in rows.where("ownerdata", "node_id", one["id"])},
        "tag_names": [rows.one("tag", tag["tag_id"])["name"] for tag in rows.where("node_tags", "node_id", one["id"])],
        "zone": zone(rows.one("zone", one["zone_id"])), "pool": pool(rows.one("resourcepool", one["pool_id"])),
        "power_type": bmc["power_type"] if bmc else "", "pod": _pod(bmc), "parent": _parent(rows, one),
        "virtualmachine_id": vm["id"] if vm else None, "interface_set": interfaces,
        "boot_interface": interfaces[0] if interfaces else None, "blockdevice_set": devices,
        "physicalblockdevice_set": devices, "virtualblockdevice_set": [], "boot_disk": devices[0] if devices else None,
        "ip_addresses": [link["ip_address"] for each in interfaces for link in each["links"] if "ip_address" in link],
        "numanode_set": [{"index": 0, "cores": list(range(one["cpu_count"])), "memory": one["memory"],
                          "hugepages_set": []}],
        "status_name": _STATUS_NAMES[one["status"]], "status_message": "", "status_action": "",
        "node_type_name": "Machine", "min_hwe_kernel": "", "swap_size": None, "address_ttl": None, "raids": [],
        "volume_groups": [], "cache_sets": [], "bcaches": [], "special_filesystems": [], "disable_ipv4": False,
        "default_gateways": {family: {"gateway_ip": None, "link_id": None} for family in ("ipv4", "ipv6")},
        "hardware_info": {"system_vendor": "QEMU", "system_product": "Standard PC (Q35 + ICH9, 2009)"},
        "resource_uri": f"/MAAS/api/2.0/machines/{one['system_id']}/",
    }  # fmt: skip


def _visible(maas: Maas, request: Request) -> list[Row]:
    """Users who are no administrators see machines that nobody else owns."""
    return [
        one
        for one in maas.rows.where("node", "node_type", _MACHINE)
        if one["system_id"] not in maas.hidden_machines
        and one["bmc_id"] not in maas.hidden_hosts
        and (request.is_admin or one["owner_id"] in {None, request.user["id"]})
    ]


def _parameters(rows: Rows, one: Row) -> dict[str, Any]:
    bmc = rows.maybe("bmc", one["bmc_id"])
    return (effective_parameters(rows, bmc) if bmc else {}) | dict(one["instance_power_parameters"])


def _pod(bmc: Row | None) -> dict[str, Any] | None:
    if bmc is None or bmc["bmc_type"] != _VM_HOST:
        return None
    return {"id": bmc["id"], "name": bmc["name"], "resource_uri": f"/MAAS/api/2.0/pods/{bmc['id']}/"}


def _parent(rows: Rows, one: Row) -> dict[str, Any] | None:
    if one["parent_id"] is None:
        return None
    system_id = rows.one("node", one["parent_id"])["system_id"]
    return {"system_id": system_id, "resource_uri": f"/MAAS/api/2.0/machines/{system_id}/", "__incomplete__": True}


def _interface(rows: Rows, node: Row, one: Row) -> dict[str, Any]:
    return {
        "id": one["id"], "name": one["name"], "type": one["type"], "mac_address": one["mac_address"],
        "enabled": one["enabled"], "tags": one["tags"], "params": one["params"] or "", "system_id": node["system_id"],
        "vlan": None if one["vlan_id"] is None else vlan(rows, rows.one("vlan", one["vlan_id"])),
        "links": _links(rows, one), "discovered": None, "effective_mtu": 1500, "vendor": one["vendor"],
        "product": one["product"], "firmware_version": one["firmware_version"], "sriov_max_vf": one["sriov_max_vf"],
        "parents": [rows.one("interface", each["parent_id"])["name"]
                    for each in rows.where("interfacerelationship", "child_id", one["id"])],
        "children": [rows.one("interface", each["child_id"])["name"]
                     for each in rows.where("interfacerelationship", "parent_id", one["id"])],
        "link_connected": one["link_connected"], "link_speed": one["link_speed"], "numa_node": 0,
        "interface_speed": one["interface_speed"],
        "resource_uri": f"/MAAS/api/2.0/nodes/{node['system_id']}/interfaces/{one['id']}/",
    }  # fmt: skip


def _links(rows: Rows, one: Row) -> list[dict[str, Any]]:
    """Not the discovered addresses, and not those that are only tried out."""
    links: list[dict[str, Any]] = []
    for join in rows.where("interface_ip_addresses", "interface_id", one["id"]):
        address = rows.one("staticipaddress", join["staticipaddress_id"])
        if address["alloc_type"] == _DISCOVERED or address["temp_expires_on"] is not None:
            continue
        mode = {0: "auto", 1: "static" if address["ip"] else "link_up", 4: "static", 5: "dhcp"}[address["alloc_type"]]
        link: dict[str, Any] = {"id": address["id"], "mode": mode}
        if address["ip"] is not None:
            link["ip_address"] = address["ip"]
        if address["subnet_id"] is not None:
            link["subnet"] = subnet(rows, rows.one("subnet", address["subnet_id"]))
        links.append(link)
    return links


def _device(rows: Rows, node: Row, one: Row) -> dict[str, Any]:
    """`storage_pool` is null once a refresh has replaced the row of the VM's disk."""
    physical = rows.one("physicalblockdevice", one["id"], "blockdevice_ptr_id")
    disk = rows.maybe("virtualmachinedisk", one["id"], "block_device_id")
    return {
        "id": one["id"], "name": one["name"], "type": "physical", "size": one["size"], "block_size": one["block_size"],
        "id_path": one["id_path"], "tags": one["tags"], "model": physical["model"], "serial": physical["serial"],
        "firmware_version": physical["firmware_version"], "path": f"/dev/disk/by-dname/{one['name']}",
        "storage_pool": rows.one("podstoragepool", disk["backing_pool_id"])["pool_id"] if disk else None,
        "system_id": node["system_id"], "available_size": one["size"], "used_size": 0, "used_for": "Unused",
        "filesystem": None, "partitions": [], "partition_table_type": None, "uuid": None, "numa_node": 0,
        "resource_uri": f"/MAAS/api/2.0/nodes/{node['system_id']}/blockdevices/{one['id']}/",
    }  # fmt: skip
