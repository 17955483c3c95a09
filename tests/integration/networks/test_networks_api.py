"""Networks through the API: discovered on a host, then named, grouped and corrected by users."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.support.rejections import invalid_fields, rejected_status, rejection

NETWORKS = "dmz:10.1.0.0/24:100,lan:10.2.0.0/24"
OF_DHCP = (True, "10.1.0.128", "10.1.0.254")  # of a simulated network 10.1.0.0/24
ADDRESS_OPS = ("reserved_ip_ranges", "unreserved_ip_ranges", "statistics")


async def subnet_of(innkeeper: Deployment, cidr: str) -> Any:
    (found,) = [subnet for subnet in await innkeeper.get("subnets/") if subnet["cidr"] == cidr]
    return found


async def interface_of(innkeeper: Deployment, host: Any, name: str) -> Any:
    found = await innkeeper.get(f"nodes/{host['host']['system_id']}/interfaces/")
    return next(each for each in found if each["name"] == name)


@pytest.mark.slow
async def test_networks_of_a_host_remain_when_it_is_removed(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(networks=NETWORKS)
    dmz, lan = await subnet_of(innkeeper, "10.1.0.0/24"), await subnet_of(innkeeper, "10.2.0.0/24")
    assert (dmz["vlan"]["vid"], lan["vlan"]["vid"]) == (100, 0)
    assert (dmz["vlan"]["dhcp"], dmz["vlan"]["dhcp_on"], dmz["space"]) == (True, False, "undefined")
    interface = await interface_of(innkeeper, host, "dmz")
    assert (interface["type"], interface["vlan"]) == ("bridge", dmz["vlan"])
    assert [link["subnet"]["id"] for link in interface["links"]] == [dmz["id"]]
    (undefined,) = await innkeeper.get("spaces/")
    assert {subnet["id"] for subnet in undefined["subnets"]} == {dmz["id"], lan["id"]}
    fabric = await innkeeper.get(f"fabrics/{dmz['vlan']['fabric']}/")
    assert dmz["vlan"] in fabric["vlans"]
    before = (await innkeeper.get("subnets/"), await innkeeper.get("fabrics/"))
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert (await innkeeper.get("subnets/"), await innkeeper.get("fabrics/")) == before
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    remaining = [{**subnet, "vlan": None} for subnet in before[0]]
    assert [{**subnet, "vlan": None} for subnet in await innkeeper.get("subnets/")] == remaining
    assert await rejected_status(innkeeper.get(f"nodes/{host['host']['system_id']}/interfaces/")) == 404


async def test_users_name_group_and_correct_discovered_networks(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(networks=NETWORKS)
    dmz, lan = await subnet_of(innkeeper, "10.1.0.0/24"), await subnet_of(innkeeper, "10.2.0.0/24")
    space = await innkeeper.post("spaces/", name="front")
    await innkeeper.put(f"vlans/{dmz['vlan']['id']}/", name="dmz", space="front", mtu=9000)
    await innkeeper.put(f"subnets/{dmz['id']}/", name="outer", dns_servers="9.9.9.9 1.1.1.1")
    (named,) = (await innkeeper.get("spaces/front/"))["subnets"]
    assert (named["name"], named["dns_servers"], named["vlan"]["mtu"]) == ("outer", ["9.9.9.9", "1.1.1.1"], 9000)
    assert (await innkeeper.get("subnets/outer/")) == named
    lab = await innkeeper.post("fabrics/", name="lab")
    storage = await innkeeper.post("fabrics/lab/vlans/", vid=7, name="storage")
    assert storage["fabric_id"] == lab["id"]
    interface = await interface_of(innkeeper, host, "lan")
    chosen = await innkeeper.put(
        interface["resource_uri"].removeprefix("/MAAS/api/2.0/"), vlan=storage["id"], tags="a, b"
    )
    assert (chosen["vlan"]["id"], chosen["vlan_set_by_user"], chosen["tags"]) == (storage["id"], True, ["a", "b"])
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert await interface_of(innkeeper, host, "lan") == chosen
    moved = await innkeeper.put(f"subnets/{lan['id']}/", vlan=storage["id"])
    assert moved["vlan"]["id"] == storage["id"]
    await innkeeper.delete(f"spaces/{space['id']}/")
    assert (await subnet_of(innkeeper, "10.1.0.0/24"))["space"] == "undefined"


async def test_reserved_ranges_are_unavailable(rackless: Deployment) -> None:
    subnet = await rackless.post("subnets/", cidr="10.9.0.0/24", gateway_ip="10.9.0.1", name="early")
    reserved = await rackless.post(
        "ipranges/", type="reserved", start_ip="10.9.0.10", end_ip="10.9.0.19", comment="printers"
    )
    assert reserved["subnet"] == subnet
    statistics = await rackless.get("subnets/early/", op="statistics")
    assert (statistics["num_unavailable"], statistics["largest_available"]) == (11, 235)
    extended = await rackless.put(f"ipranges/{reserved['id']}/", end_ip="10.9.0.29")
    assert (extended["end_ip"], extended["comment"]) == ("10.9.0.29", "printers")
    unavailable = await rackless.get("subnets/early/", op="reserved_ip_ranges")
    assert [(one["start"], one["purpose"]) for one in unavailable] == [
        ("10.9.0.1", ["gateway-ip"]),
        ("10.9.0.10", ["reserved"]),
    ]
    assert list(await invalid_fields(rackless.put(f"ipranges/{reserved['id']}/", end_ip="10.8.0.1"))) == ["end_ip"]
    await rackless.delete(f"ipranges/{reserved['id']}/")
    assert await rackless.get("ipranges/") == []
    assert await rejected_status(rackless.get(f"ipranges/{reserved['id']}/")) == 404
    for path in (
        "subnets/10.9.0.0%2F24/", "subnets/10.9.0.0/24/", "subnets/early/", "subnets/cidr:10.9.0.0%2F24/",
        "subnets/cidr:10.9.0.0/24/", "subnets/cidr:10.9.0.77%2F24/",
    ):  # fmt: skip
        assert (await rackless.get(path))["id"] == subnet["id"]
        assert (await rackless.get(path, op="statistics"))["num_unavailable"] == 1
        assert (await rackless.get(f"{path}op-statistics"))["num_unavailable"] == 1
    ranges = (await rackless.get(f"{path}?op=statistics&include_ranges=1&include_suggestions=1"))["ranges"]
    assert [(one["start"], one["end"], one["purpose"]) for one in ranges] == [
        ("10.9.0.1", "10.9.0.1", ["gateway-ip"]), ("10.9.0.2", "10.9.0.254", ["unused"]),
    ]  # fmt: skip


async def test_discovered_ranges_are_listed_on_request(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(networks="lan:10.1.0.0/24")
    assert await innkeeper.get("ipranges/") == []
    (discovered,) = await innkeeper.get("ipranges/?with_discovered=true")
    assert (discovered["discovered"], discovered["start_ip"], discovered["end_ip"]) == OF_DHCP
    path = f"ipranges/{discovered['id']}/"
    assert await innkeeper.get(path) == discovered
    assert "was discovered on hosts" in (await rejection(innkeeper.delete(path))).message


async def test_a_range_of_a_user_may_overlap_a_discovered_one(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(networks="lan:10.1.0.0/24")
    for ip in ("10.1.0.7", "10.1.0.200"):
        await innkeeper.compose(host["id"], memory=1024, interfaces=f"eth0:ip={ip}")
    before = [await innkeeper.get("subnets/10.1.0.0/24/", op=op) for op in ADDRESS_OPS]
    created = await innkeeper.post("ipranges/", type="dynamic", start_ip="10.1.0.128", end_ip="10.1.0.254")
    assert await innkeeper.get("ipranges/") == [created]
    assert [await innkeeper.get("subnets/10.1.0.0/24/", op=op) for op in ADDRESS_OPS] == before
    for start, end, reason in (
        ("10.1.0.150", "10.1.0.160", "Overlaps the dynamic range 10.1.0.128-10.1.0.254."),
        ("10.1.0.2", "10.1.0.10", "10.1.0.7 belongs to machine"),
    ):
        attempt = innkeeper.post("ipranges/", type="dynamic", start_ip=start, end_ip=end)
        assert reason in (await invalid_fields(attempt))["start_ip"][0]
    refused = innkeeper.compose(host["id"], memory=1024, interfaces="eth0:ip=10.1.0.201")
    assert "in the dynamic range" in (await invalid_fields(refused))["interfaces"][0]


async def test_a_machine_shows_its_network(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(networks=NETWORKS)
    dmz = await subnet_of(innkeeper, "10.1.0.0/24")
    composed = await innkeeper.compose(host["id"], interfaces="eth0:subnet_cidr=10.1.0.0/24,ip=10.1.0.7")
    machine = await innkeeper.get(f"machines/{composed['system_id']}/")
    (nic,) = machine["interface_set"]
    assert machine["ip_addresses"] == ["10.1.0.7"]
    assert nic["vlan"] == dmz["vlan"]
    assert [(link["mode"], link["ip_address"], link["subnet"]) for link in nic["links"]] == [
        ("static", "10.1.0.7", dmz)
    ]
    used = await innkeeper.get(f"subnets/{dmz['id']}/", op="ip_addresses")
    assert [(one["ip"], one["system_id"], one["hostname"]) for one in used if one["system_id"]] == [
        ("10.1.0.7", composed["system_id"], machine["hostname"])
    ]
    assert {one["host_name"] for one in used if one["host"]} <= {"sim"}
    storage = await innkeeper.post("fabrics/0/vlans/", vid=7)
    moved = await innkeeper.put(f"subnets/{dmz['id']}/", vlan=storage["id"])
    (nic,) = (await innkeeper.get(f"machines/{composed['system_id']}/"))["interface_set"]
    assert nic["vlan"] == nic["links"][0]["subnet"]["vlan"] == moved["vlan"]
    assert await rejected_status(innkeeper.delete(f"subnets/{dmz['id']}/")) == 400
    path = f"nodes/{composed['system_id']}/interfaces/{nic['id']}/"
    assert await rejected_status(innkeeper.put(path, vlan=dmz["vlan"]["id"])) == 503, "its host is on that one no more"
