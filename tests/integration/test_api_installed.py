"""The API over a real region and rack: answers fit their declared shapes, and what is refused writes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from innkeeper.http import Body
from regiond.api.catalogue import RESOURCES
from tests.installation import Installation, installed
from tests.integration.adopting import refresh, rows
from tests.unit.test_api_encoding import misfits

TABLES = (
    "vm_host", "machine", "operation", "claim", "zone", "resource_pool", "guest", "fabric", "vlan", "subnet", "space",
    "ip_range",
)  # fmt: skip


async def written(made: Installation) -> dict[str, int]:
    async with made.region.parts.database.connection() as db:
        return {table: await db.fetchval(f"select count(*) from {table}") for table in TABLES}  # noqa: S608  # our names


async def refusal(made: Installation, path: str, fields: Mapping[str, str]) -> tuple[int, str]:
    """Status and reasons of a POST that is refused."""
    with pytest.raises(InnkeeperError) as caught:
        await made.api.send("POST", path, body=Body(fields=list(fields.items())))
    return int(caught.value.details["status"]), f"{caught.value.message} {caught.value.details}"


async def a_difference(made: Installation, host: Any) -> Any:
    """A machine whose guest went behind our back."""
    await made.compose(host["id"], hostname="gone", storage="1")
    rows(made, "delete from guest where name = 'gone'")
    await refresh(made, host)
    (found,) = await made.get("differences/")
    return found


async def test_every_reading_endpoint_answers_what_it_declares(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated(guests=1)
        composed = await made.compose(host["id"], hostname="fox", storage="root:8,data:5(default)")
        (rack,) = await made.get("racks/")
        (operation, *_) = await made.get("operations/")
        machine = await made.get(f"machines/{composed['system_id']}/")
        guests = await made.get("virtual-machines/")
        space = await made.post("spaces/", name="front")
        subnet = await made.post("subnets/", cidr="10.9.0.0/24", space="front")
        reserved = await made.post("ipranges/", type="reserved", start_ip="10.9.0.5", end_ip="10.9.0.9")
        difference = await a_difference(made, host)
        known = {
            "vm-hosts": host["id"],
            "pods": host["id"],
            "racks": rack["id"],
            "operations": operation["id"],
            "differences": difference["id"],
            "virtual-machines": guests[0]["id"],
            "resourcepool": "default",
            "domains": 0,
            "fabrics": 0,
            "vlans": subnet["vlan"]["id"],
            "subnets": subnet["id"],
            "spaces": space["id"],
            "ipranges": reserved["id"],
            "interfaces": machine["interface_set"][0]["id"],
            "blockdevices": machine["blockdevice_set"][0]["id"],
        }
        for resource in RESOURCES:
            for endpoint in resource.endpoints:
                if endpoint.method != "GET" or resource.handler == "VmClusterHandler":
                    continue
                room = resource.path.split("/")[2 if resource.path.startswith("nodes/") else 0]
                path = resource.path.format(
                    id=known.get(room),
                    name="default",
                    username="admin",
                    system_id=composed["system_id"],
                    fabric_id=0,
                    vid=0,
                )
                found = await made.get(path, op=endpoint.op)
                assert endpoint.result.schema is not None
                assert list(misfits(found, endpoint.result.schema)) == [], path
        assert len(guests) == 2
        assert machine["status_name"] == "Ready"
        assert [disk["size"] for disk in machine["blockdevice_set"]] == [8 * 10**9, 5 * 10**9]


REFUSED: list[tuple[str, dict[str, str], int, str]] = [
    ("vm-hosts/?op=compose", {}, 400, "Unrecognised signature"),
    ("vm-hosts/1/?op=compose", {"cores": "x"}, 400, "Enter a whole number."),
    ("vm-hosts/1/?op=compose", {"cores": "5"}, 400, "less than or equal to 4"),
    ("vm-hosts/1/?op=compose", {"memory": "100"}, 400, "greater than or equal to 1024"),
    ("vm-hosts/1/?op=compose", {"zone": "nowhere"}, 400, "zone"),
    ("vm-hosts/1/?op=compose", {"pool": "99"}, 400, "pool"),
    ("vm-hosts/1/?op=compose", {"architecture": "arm64/generic"}, 400, "valid choice"),
    ("vm-hosts/1/?op=compose", {"storage": "8gb"}, 400, "Malformed"),
    ("vm-hosts/1/?op=compose", {"storage": "9999"}, 503, "9999"),
    ("vm-hosts/1/?op=compose", {"interfaces": "eth0:space=dmz"}, 400, "there is no space dmz"),
    ("vm-hosts/2/?op=compose", {}, 404, ""),
    ("vm-hosts/1/?op=add_tag", {"tag": "a,b"}, 400, "Tag may not contain"),
    ("vm-hosts/1/?op=trust", {}, 400, "This field is required."),
    ("vm-hosts/", {"type": "virsh", "power_address": "qemu+ssh://h/system"}, 400, "user"),
    ("vm-hosts/", {"type": "virsh", "power_address": "qemu:///system", "zone": "nowhere"}, 400, "zone"),
    ("vm-hosts/", {"type": "virsh", "power_address": "qemu:///system", "cpu_over_commit_ratio": "11"}, 400, "10"),
    ("vm-hosts/", {"type": "lxd", "power_address": "http://h"}, 400, "LXD"),
    ("vm-hosts/", {"type": "lxd", "power_address": "h", "key": "x"}, 400, "without its certificate"),
    ("vm-hosts/", {"type": "virsh", "power_address": "qemu:///system", "key": "x"}, 400, "Only LXD hosts"),
    ("zones/", {"name": "default"}, 400, "default"),
    ("zones/", {"name": "-"}, 400, "Start with a letter"),
    ("resourcepools/", {"name": "default"}, 400, "default"),
    ("fabrics/", {"name": "fabric-0"}, 400, "already"),
    ("fabrics/nowhere/vlans/", {"vid": "7"}, 404, "nowhere"),
    ("fabrics/0/vlans/", {"vid": "0"}, 400, "VLAN 0 already"),
    ("fabrics/0/vlans/", {"vid": "7", "space": "nowhere"}, 400, "valid choice"),
    ("fabrics/0/vlans/", {"vid": "7", "dhcp_on": "true"}, 400, "no DHCP server"),
    ("subnets/", {"cidr": "10.9.0.1/24"}, 400, "has host bits set"),
    ("subnets/", {"cidr": "10.9.0.0/24", "vlan": "99"}, 400, "valid choice"),
    ("subnets/", {"cidr": "10.9.0.0/24", "vid": "99"}, 400, "no VLAN 99"),
    ("subnets/", {"cidr": "10.9.0.0/24", "gateway_ip": "10.8.0.1"}, 400, "not in 10.9.0.0/24"),
    ("subnets/", {"cidr": "10.9.0.0/24", "dns_servers": "9.9.9.9,nine"}, 400, "no IP address"),
    ("spaces/", {"name": "undefined"}, 400, "has no space"),
    ("ipranges/", {"type": "reserved", "start_ip": "172.16.0.1", "end_ip": "172.16.0.9"}, 400, "No subnet holds"),
    ("ipranges/", {"type": "reserved", "start_ip": "x", "end_ip": "y"}, 400, "no IP address"),
    ("ipranges/", {"type": "reserved", "start_ip": "fd00::1%eth0", "end_ip": "fd00::9"}, 400, "has a zone"),
    ("machines/nothing/?op=power_on", {}, 404, ""),
    ("operations/9999/?op=cancel", {}, 404, ""),
    ("account/?op=delete_authorisation_token", {"token_key": "nothing"}, 404, ""),
]


async def test_bad_input_is_refused_with_the_reason_and_nothing_is_written(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        await made.add_simulated()
        before = await written(made)
        for path, fields, status, said in REFUSED:
            found, text = await refusal(made, path, fields)
            assert (found, said in text) == (status, True), f"{path} {fields}: {found} {text}"
            assert await written(made) == before, f"{path} {fields}"


async def test_a_taken_host_or_host_name_is_refused(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated()
        await made.compose(host["id"], hostname="fox")
        before = await written(made)
        status, text = await refusal(made, f"vm-hosts/{host['id']}/?op=compose", {"hostname": "fox"})
        assert (status, "fox" in text) == (400, True), text
        again = {"type": "simulated", "power_address": "simulated:sim?memory_mib=12288&cores=4"}
        status, text = await refusal(made, "vm-hosts/", again)
        assert (status, "already" in text) == (400, True), text
        assert await written(made) == before


async def test_a_whole_life_over_http(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated()
        composed = await made.compose(host["id"], cores=2, memory=4096)
        path = f"machines/{composed['system_id']}/"
        assert (await made.post(path, op="power_on"))["power_state"] == "on"
        assert await made.get(path, op="query_power_state") == {"state": "on"}
        assert (await made.post(path, op="power_off", stop_mode="hard"))["power_state"] == "off"
        changed = await made.put(f"vm-hosts/{host['id']}/", type="simulated", cpu_over_commit_ratio="2", tags="a,b")
        assert changed["cpu_over_commit_ratio"] == 2.0
        assert {"a", "b"} <= set(changed["tags"])
        assert (await made.delete(path)).status == 204
        assert made.simulated_guests() == []
        assert (await made.delete(f"vm-hosts/{host['id']}/")).status == 204
        assert await made.get("vm-hosts/") == []


async def test_async_requests_get_an_operation_to_follow(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated()
        headers = {"Prefer": "respond-async", "Idempotency-Key": "once"}
        path = f"vm-hosts/{host['id']}/"
        first = await made.post(path, op="compose", headers=headers)
        again = await made.post(path, op="compose", headers=headers)
        assert first["id"] == again["id"]
        ended = await made.region.parts.services.operations.wait(first["id"], timeout_s=30)
        found = await made.get(f"operations/{ended.id}/")
        assert found["state"] == "succeeded"
        assert found["log"]
        assert json.dumps(found["explanation"]) != "null"
        assert len(await made.get("machines/")) == 1


async def test_without_a_rack_a_compose_is_refused_with_a_time_to_come_again(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated()
        await made.stop_rack("rack")
        before = await written(made)
        status, text = await refusal(made, f"vm-hosts/{host['id']}/?op=compose", {})
        assert (status, "rack" in text.lower()) == (503, True), text
        assert await written(made) == before
