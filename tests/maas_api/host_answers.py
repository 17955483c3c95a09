"""Answers about VM hosts, clusters and VMs: vm-hosts.md 3 and 4, with the data of continuity.md 2.3, 2.4 and 2.6."""

from __future__ import annotations

from typing import Any

from tests.maas_api.messages import Answer, Request, json_answer, refused
from tests.maas_api.network_answers import pool, zone
from tests.maas_api.rows import Rows
from tests.maas_api.state import Maas
from tests.maas_site.tables import Row

_VM_HOST = 1


def hosts(maas: Maas, _: Request) -> Answer:
    return json_answer([_host(maas.rows, one) for one in visible_hosts(maas)])


def host(maas: Maas, request: Request) -> Answer:
    return json_answer(_host(maas.rows, _found(maas, request)))


def parameters(maas: Maas, request: Request) -> Answer:
    """With the secrets, for administrators; every value is a text."""
    if not request.is_admin:
        raise refused(403, "This method is reserved for admin users.")
    one = _found(maas, request)
    return json_answer({key: str(value) for key, value in effective_parameters(maas.rows, one).items()})


def clusters(maas: Maas, _: Request) -> Answer:
    return json_answer([_cluster(maas.rows, one) for one in maas.rows.all("vmcluster")])


def vms(maas: Maas, _: Request) -> Answer:
    hidden = maas.hidden_hosts
    keys = (
        "id", "identifier", "project", "pinned_cores", "unpinned_cores", "memory", "hugepages_backed", "machine_id",
        "bmc_id",
    )  # fmt: skip
    return json_answer(
        [
            {key: one[key] for key in keys} | {"resource_uri": f"/MAAS/api/2.0/virtual-machines/{one['id']}"}
            for one in maas.rows.all("virtualmachine")
            if one["bmc_id"] not in hidden
        ]
    )


def visible_hosts(maas: Maas) -> list[Row]:
    return [one for one in maas.rows.where("bmc", "bmc_type", _VM_HOST) if one["id"] not in maas.hidden_hosts]


def effective_parameters(rows: Rows, bmc: Row) -> dict[str, Any]:
    """Those of the row, overlaid by its secret."""
    secret = rows.maybe("secret", f"bmc/{bmc['id']}/power-parameters", "path")
    return dict(bmc["power_parameters"]) | (dict(secret["value"]) if secret else {})


def _found(maas: Maas, request: Request) -> Row:
    for one in visible_hosts(maas):
        if str(one["id"]) == request.arguments[0]:
            return one
    raise refused(404, "No Pod matches the given query.")


def _host(rows: Rows, one: Row) -> dict[str, Any]:
    total = {key: one[key] for key in ("cores", "memory", "local_storage")}
    used = {"cores": 0, "memory": 0, "local_storage": 0}
    for vm in rows.where("virtualmachine", "bmc_id", one["id"]):
        used["cores"] += vm["unpinned_cores"] + len(vm["pinned_cores"])
        used["memory"] += vm["memory"]
    return {
        "id": one["id"], "name": one["name"], "type": one["power_type"], "tags": one["tags"] or [],
        "architectures": one["architectures"] or [], "capabilities": one["capabilities"] or [], "total": total,
        "used": used, "available": {key: total[key] - used[key] for key in total},
        "zone": zone(rows.one("zone", one["zone_id"])), "pool": pool(rows.one("resourcepool", one["pool_id"])),
        "cpu_over_commit_ratio": one["cpu_over_commit_ratio"],
        "memory_over_commit_ratio": one["memory_over_commit_ratio"],
        "storage_pools": [_storage_pool(one, each) for each in rows.where("podstoragepool", "pod_id", one["id"])],
        "host": {"system_id": _machine_of(rows, one), "__incomplete__": True},
        "default_macvlan_mode": one["default_macvlan_mode"], "version": one["version"],
        "resource_uri": f"/MAAS/api/2.0/vm-hosts/{one['id']}/",
    }  # fmt: skip


def _storage_pool(host: Row, one: Row) -> dict[str, Any]:
    return {
        "id": one["pool_id"], "name": one["name"], "type": one["pool_type"], "path": one["path"],
        "total": one["storage"], "used": 0, "available": one["storage"],
        "default": one["id"] == host["default_storage_pool_id"],
    }  # fmt: skip


def _machine_of(rows: Rows, one: Row) -> str | None:
    """LXD: by the hints; libvirt: the machine with the host's address."""
    for hint in rows.where("podhints", "pod_id", one["id"]):
        for link in rows.where("podhints_nodes", "podhints_id", hint["id"]):
            return str(rows.one("node", link["node_id"])["system_id"])
    for link in rows.where("interface_ip_addresses", "staticipaddress_id", one["ip_address_id"]):
        config = rows.one("interface", link["interface_id"])["node_config_id"]
        return str(rows.one("node", rows.one("nodeconfig", config)["node_id"])["system_id"])
    return None


def _cluster(rows: Rows, one: Row) -> dict[str, Any]:
    members = [rows.one("bmc", hint["pod_id"]) for hint in rows.where("podhints", "cluster_id", one["id"])]
    tracked = [
        vm
        for member in members
        for vm in rows.where("virtualmachine", "bmc_id", member["id"])
        if vm["project"] == one["project"]
    ]
    total = {
        "cores": sum(member["cores"] for member in members),
        "memory": sum(member["memory"] for member in members) * 1024**2,
        "local_storage": sum(member["local_storage"] for member in members),
    }
    return {
        "id": one["id"], "name": one["name"], "project": one["project"], "vmhost_count": len(members),
        "vm_count": len(tracked), "version": members[0]["version"] if members else "", "total": total, "used": total,
        "available": total, "storage_pools": {}, "resource_uri": f"/MAAS/api/2.0/vm-clusters/{one['id']}",
    }  # fmt: skip
