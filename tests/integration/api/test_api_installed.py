"""The API of a real region and rack: responses match their schemas; a rejected request writes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from innkeeper.request_body import Body
from regiond.api.resources.registry import RESOURCES
from tests.deployment.deployment import Deployment
from tests.integration.accounts.test_users import SSH_KEY
from tests.integration.maas.test_maas_import import begin, inventory
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.tables import counts
from tests.maas_api.bridge_server import KEY, RecordedMaas, serving
from tests.support.rejections import rejection
from tests.unit.regiond.api.test_api_serializers import misfits


async def rejected_post(innkeeper: Deployment, path: str, fields: Mapping[str, str]) -> tuple[int, str]:
    """Returns status and message of a POST that is rejected."""
    error = await rejection(innkeeper.api.send("POST", path, body=Body(fields=list(fields.items()))))
    return int(error.details["status"]), f"{error.message} {error.details}"


async def a_discrepancy(innkeeper: Deployment, host: Any) -> Any:
    """A machine whose guest was deleted on the host."""
    await innkeeper.compose(host["id"], hostname="lost", storage="1")
    rows(innkeeper, "delete from guest where name = 'lost'")
    await refresh(innkeeper, host)
    (found,) = await innkeeper.get("discrepancies/")
    return found


@pytest.mark.slow
async def test_every_read_matches_its_declared_schema(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    composed = await innkeeper.compose(host["id"], hostname="fox", storage="root:8,data:5(default)")
    (rack,) = await innkeeper.get("racks/")
    (operation, *_) = await innkeeper.get("operations/")
    machine = await innkeeper.get(f"machines/{composed['system_id']}/")
    guests = await innkeeper.get("virtual-machines/")
    space = await innkeeper.post("spaces/", name="front")
    subnet = await innkeeper.post("subnets/", cidr="10.9.0.0/24", space="front")
    reserved = await innkeeper.post("ipranges/", type="reserved", start_ip="10.9.0.5", end_ip="10.9.0.9")
    discrepancy = await a_discrepancy(innkeeper, host)
    quota = await innkeeper.post("quotas/", pool="default", machines=9)
    await innkeeper.post("resourcepool/default/", op="grant", user="admin")
    dns_name = await innkeeper.post("dnsresources/", fqdn="www.maas", ip_addresses="10.9.0.8 fd00::8")
    await innkeeper.post("files/", filename="default", file="state")
    ssh_key = await innkeeper.post("account/prefs/sshkeys/", key=SSH_KEY)
    saved = await innkeeper.post("account/filters/", list="vms", name="failed", query="state:failed")
    path = f"machines/{machine['system_id']}/"
    await innkeeper.post(path, op="add_disk", size=1)
    await innkeeper.post(path, op="remove_disk", disk="sdb", keep="true")
    (kept,) = await innkeeper.get("kept-disks/")
    export = await innkeeper.post(path, op="export")
    begun = await begin(innkeeper, inventory())
    with serving(RecordedMaas()) as maas:
        await innkeeper.post("maas-servers/", name="default", url=maas.url, key=KEY)
    known = {
        "exports": export["id"],
        "kept-disks": kept["id"],
        "maas-imports": begun["id"],
        "vm-hosts": host["id"],
        "pods": host["id"],
        "racks": rack["id"],
        "operations": operation["id"],
        "discrepancies": discrepancy["id"],
        "virtual-machines": guests[0]["id"],
        "account": ssh_key["id"],
        "resourcepool": "default",
        "quotas": quota["id"],
        "boot-resources": 1,  # of the architecture of the host
        "domains": 0,
        "dnsresources": dns_name["id"],
        "fabrics": 0,
        "vlans": subnet["vlan"]["id"],
        "subnets": subnet["id"],
        "spaces": space["id"],
        "ipranges": reserved["id"],
        "interfaces": machine["interface_set"][0]["id"],
        "blockdevices": machine["blockdevice_set"][0]["id"],
    }
    (region,) = await innkeeper.get("regions/")
    async with innkeeper.connection() as db:
        device = await db.fetchval(
            "insert into device (system_id, hostname, parent_id) select 'dev123', 'box', id from machine limit 1"
            " returning system_id"
        )
    controllers = {"devices": device, "rackcontrollers": rack["id"], "regioncontrollers": region["id"]}
    for resource in RESOURCES:
        for endpoint in resource.endpoints:
            if endpoint.method != "GET" or resource.handler == "VmClusterHandler":
                continue
            if endpoint.result.is_stream:  # `test_event_stream.py` reads it
                continue
            if endpoint.op in {
                "console",
                "console_log",
                "details",  # `test_machine_operations.py`
                "download",  # `test_exports.py`
                "get",
                "get_by_key",
                "screen",  # `test_screen_connection.py`
                "zone_file",
                "get_config",  # `test_controllers.py`
                "is_registered",  # requires a MAC address: `test_node_actions.py`
            }:  # no JSON: `test_console_connection.py`, `test_console_log.py`, `test_api_files.py`, `test_dns.py`
                continue
            of_node = resource.path.startswith("nodes/") and "id" in resource.params
            collection = resource.path.split("/")[2 if of_node else 0]
            path = resource.path.format(
                id=saved["id"] if resource.path.startswith("account/filters/") else known.get(collection),
                list="vms",
                name="simulated" if resource.path.startswith("tags/") else "default",
                username="admin",
                filename="default",
                system_id=controllers.get(collection, composed["system_id"]),
                fabric_id=0,
                vid=0,
            )
            found = await innkeeper.get(path, op=endpoint.op)
            assert endpoint.result.schema is not None
            assert list(misfits(found, endpoint.result.schema)) == [], path
    assert len(guests) == 2
    assert machine["status_name"] == "Ready"
    assert [disk["size"] for disk in machine["blockdevice_set"]] == [8 * 10**9, 5 * 10**9]


REJECTED: list[tuple[str, dict[str, str], int, str]] = [
    ("vm-hosts/?op=shrink", {}, 400, "Unrecognised signature"),
    ("vm-hosts/1/?op=compose", {"cores": "x"}, 400, "Enter a whole number of at least 1, not 'x'."),
    ("vm-hosts/1/?op=compose", {"cores": "5"}, 400, "has only 4 cores"),
    ("vm-hosts/1/?op=compose", {"memory": "100"}, 400, "Must be at least 1024"),
    ("vm-hosts/1/?op=compose", {"zone": "nowhere"}, 400, "zone"),
    ("vm-hosts/1/?op=compose", {"pool": "99"}, 400, "pool"),
    ("vm-hosts/1/?op=compose", {"architecture": "arm64/generic"}, 400, "is not one of"),
    ("vm-hosts/1/?op=compose", {"storage": "8gb"}, 400, "Malformed"),
    ("vm-hosts/1/?op=compose", {"storage": "9999"}, 503, "9999"),
    ("vm-hosts/1/?op=compose", {"interfaces": "eth0:space=dmz"}, 400, "there is no"),
    ("vm-hosts/2/?op=compose", {}, 404, ""),
    ("vm-hosts/1/?op=add_tag", {"tag": "a,b"}, 400, "Tag may not contain"),
    ("vm-hosts/1/?op=trust", {}, 400, "This field is required."),
    ("vm-hosts/", {"type": "virsh", "power_address": "qemu+ssh://h/system"}, 400, "user"),
    ("vm-hosts/", {"type": "virsh", "power_address": "qemu:///system", "zone": "nowhere"}, 400, "zone"),
    ("vm-hosts/", {"type": "virsh", "power_address": "qemu:///system", "cpu_over_commit_ratio": "11"}, 400, "10"),
    ("vm-hosts/", {"type": "lxd", "power_address": "http://h"}, 400, "LXD"),
    ("vm-hosts/", {"type": "lxd", "power_address": "h", "key": "x"}, 400, "requires its certificate"),
    ("vm-hosts/", {"type": "virsh", "power_address": "qemu:///system", "key": "x"}, 400, "Only LXD hosts"),
    ("zones/", {"name": "default"}, 400, "default"),
    ("zones/", {"name": "-"}, 400, "start with a letter"),
    ("resourcepools/", {"name": "default"}, 400, "default"),
    ("tags/", {"name": "a b"}, 400, "only letters"),
    ("tags/nowhere/?op=update_nodes", {"add": "abc123"}, 404, "nowhere"),
    ("tags/simulated/?op=update_nodes", {"add": "abc123"}, 400, "abc123"),
    ("fabrics/", {"name": "fabric-0"}, 400, "already"),
    ("fabrics/nowhere/vlans/", {"vid": "7"}, 404, "nowhere"),
    ("fabrics/0/vlans/", {"vid": "0"}, 400, "already has a VLAN 0"),
    ("fabrics/0/vlans/", {"vid": "7", "space": "nowhere"}, 400, "space"),
    ("fabrics/0/vlans/", {"vid": "7", "dhcp_on": "true"}, 400, "no DHCP server"),
    ("subnets/", {"cidr": "10.9.0.1/24"}, 400, "has host bits set"),
    ("subnets/", {"cidr": "10.9.0.0/24", "vlan": "99"}, 400, "vlan"),
    ("subnets/", {"cidr": "10.9.0.0/24", "vid": "99"}, 400, "no VLAN 99"),
    ("subnets/", {"cidr": "10.9.0.0/24", "gateway_ip": "10.8.0.1"}, 400, "not in 10.9.0.0/24"),
    ("subnets/", {"cidr": "10.9.0.0/24", "dns_servers": "9.9.9.9,nine"}, 400, "is not an IP address"),
    ("spaces/", {"name": "undefined"}, 400, "it means no space"),
    ("ipranges/", {"type": "reserved", "start_ip": "172.16.0.1", "end_ip": "172.16.0.9"}, 400, "subnet"),
    ("ipranges/", {"type": "reserved", "start_ip": "x", "end_ip": "y"}, 400, "is not an IP address"),
    ("ipranges/", {"type": "reserved", "start_ip": "fd00::1%eth0", "end_ip": "fd00::9"}, 400, "has a zone"),
    ("machines/nothing/?op=power_on", {}, 404, ""),
    ("operations/9999/?op=cancel", {}, 404, ""),
    ("account/?op=delete_authorisation_token", {"token_key": "nothing"}, 404, ""),
]


@pytest.mark.slow
async def test_invalid_input_is_rejected_and_writes_nothing(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    before = await counts(innkeeper)
    unexpected = []
    for path, fields, status, reason in REJECTED:
        found, text = await rejected_post(innkeeper, path, fields)
        if found != status or reason not in text or await counts(innkeeper) != before:
            unexpected.append(f"{path} {fields}: {found} {text}")
    assert unexpected == []


async def test_a_host_or_name_in_use_is_rejected(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], hostname="fox")
    before = await counts(innkeeper)
    status, text = await rejected_post(innkeeper, f"vm-hosts/{host['id']}/?op=compose", {"hostname": "fox"})
    assert (status, "fox" in text) == (400, True), text
    again = {"type": "simulated", "power_address": "simulated:sim?memory_mib=12288&cores=4"}
    status, text = await rejected_post(innkeeper, "vm-hosts/", again)
    assert (status, "already" in text) == (400, True), text
    assert await counts(innkeeper) == before


async def test_a_machine_lifecycle_over_http(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    composed = await innkeeper.compose(host["id"], cores=2, memory=4096)
    path = f"machines/{composed['system_id']}/"
    assert (await innkeeper.post(path, op="power_on"))["power_state"] == "on"
    assert await innkeeper.get(path, op="query_power_state") == {"state": "on"}
    assert (await innkeeper.post(path, op="power_off", stop_mode="hard"))["power_state"] == "off"
    changed = await innkeeper.put(f"vm-hosts/{host['id']}/", type="simulated", cpu_over_commit_ratio="2", tags="a,b")
    assert changed["cpu_over_commit_ratio"] == 2.0
    assert {"a", "b"} <= set(changed["tags"])
    assert (await innkeeper.delete(path)).status == 204
    assert innkeeper.simulated_guests() == []
    assert (await innkeeper.delete(f"vm-hosts/{host['id']}/")).status == 204
    assert await innkeeper.get("vm-hosts/") == []


async def test_async_requests_answer_an_operation(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    headers = {"Prefer": "respond-async", "Idempotency-Key": "once"}
    path = f"vm-hosts/{host['id']}/"
    first = await innkeeper.post(path, op="compose", headers=headers)
    again = await innkeeper.post(path, op="compose", headers=headers)
    assert first["id"] == again["id"]
    ended = await innkeeper.region.components.services.operations.wait(first["id"], timeout_s=240)
    found = await innkeeper.get(f"operations/{ended.id}/")
    assert found["state"] == "succeeded"
    assert found["log"]
    assert json.dumps(found["explanation"]) != "null"
    assert len(await innkeeper.get("machines/")) == 1


async def test_compose_without_a_rack_answers_503_with_retry_after(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.stop_rack("rack")
    before = await counts(innkeeper)
    status, text = await rejected_post(innkeeper, f"vm-hosts/{host['id']}/?op=compose", {})
    assert (status, "rack" in text.lower()) == (503, True), text
    assert await counts(innkeeper) == before
