"""Names in the place of ids: in paths and in fields, with their precedence, ambiguity and permissions."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest, NotAllowed, NotFound
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import rows
from tests.integration.support.users import as_user

NETWORKS = "lan:10.1.0.0/24,dmz:10.2.0.0/24:100"


async def rejected(request: Awaitable[Any]) -> str:
    with pytest.raises(InnkeeperError) as error:
        await request
    return (
        error.value.message if not isinstance(error.value, InvalidRequest) else str(error.value.fields or error.value)
    )


@pytest.mark.slow
async def test_a_host_is_reached_by_its_name_everywhere(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(host_name="a b/%é")
    for path in ("vm-hosts/a%20b%2F%25%C3%A9/", "pods/name:a%20b%2F%25%C3%A9/"):
        assert (await innkeeper.get(path))["id"] == host["id"]
    assert (await innkeeper.post("vm-hosts/a%20b%2F%25%C3%A9/", op="compose", hostname="web"))["system_id"]
    assert await innkeeper.get("vm-hosts/a%20b%2F%25%C3%A9/", op="numa")
    assert len(await innkeeper.get("operations/?host=a%20b/%25%C3%A9")) == 2
    assert await innkeeper.get("discrepancies/?host=a%20b/%25%C3%A9") == []
    assert (await innkeeper.get("events/?op=query&host=a%20b/%25%C3%A9"))["count"] > 0
    assert len(await innkeeper.get(f"machines/?pod={host['id']}")) == 1
    await innkeeper.delete("vm-hosts/a%20b%2F%25%C3%A9/")
    assert await innkeeper.get("vm-hosts/") == []


async def test_what_is_named_as_an_operation_is_reached(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(host_name="op-compose")
    composed = await innkeeper.post("vm-hosts/op-compose/", op="compose", hostname="op-release")
    assert composed["system_id"]
    for path in ("machines/op-release/", "machines/name:op-release/"):
        await innkeeper.post("machines/", op="allocate")
        assert (await innkeeper.post(path, op="release"))["status_name"] == "Ready"


async def test_an_id_wins_over_a_name_of_an_earlier_release(innkeeper: Deployment) -> None:
    for address in ("one", "two"):
        await innkeeper.add_simulated(address)
    await rows(innkeeper, "update vm_host set name = case id when 1 then '2' else '7' end returning id")
    assert (await innkeeper.get("vm-hosts/2/"))["name"] == "7"
    assert (await innkeeper.get("vm-hosts/name:2/"))["id"] == 1
    assert (await innkeeper.get("vm-hosts/7/"))["id"] == 2, "no host has the id 7"
    assert (await innkeeper.post("vm-hosts/", op="place", host="name:2"))["chosen_id"] == 1
    assert (await innkeeper.post("vm-hosts/", op="place", host="2"))["chosen_id"] == 2
    assert "There is no VM host 'id:7'." in await rejected(innkeeper.get("vm-hosts/id:7/"))
    assert (await innkeeper.put("vm-hosts/name:7/", name="7"))["name"] == "7", "terraform repeats unchanged values"


async def test_a_host_gets_no_name_that_reads_as_an_id(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("west")
    for request in (
        innkeeper.add_simulated("east", host_name="7"),
        innkeeper.put(f"vm-hosts/{host['id']}/", name="7"),
    ):
        assert "'7' could be the id of another VM host." in await rejected(request)
    assert (await innkeeper.put(f"vm-hosts/{host['id']}/", name="7th"))["name"] == "7th"


async def test_each_kind_of_object_is_reached_by_id_or_by_name(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("west", host_name="west")
    system_id = (await innkeeper.compose(host["id"], hostname="web"))["system_id"]
    zone = await innkeeper.post("zones/", name="7")
    pool = await innkeeper.post("resourcepools/", name="8")
    fabric = await innkeeper.post("fabrics/", name="core")
    vlan = await innkeeper.post("fabrics/core/vlans/", vid=100, name="dmz")
    space = await innkeeper.post("spaces/", name="9")
    subnet = await innkeeper.post("subnets/", cidr="10.9.0.0/24", vlan="id:" + str(vlan["id"]), name="net")
    (rack,) = await innkeeper.get("racks/")
    (guest,) = await innkeeper.get("virtual-machines/")
    (nic,) = await innkeeper.get("nodes/web/interfaces/")
    (disk,) = await innkeeper.get("nodes/web/blockdevices/")
    for path, id_, name in (
        ("vm-hosts/{}/", host["id"], "west"),
        ("machines/{}/", system_id, "web"),
        ("zones/{}/", zone["id"], "7"),
        ("resourcepool/{}/", pool["id"], "8"),
        ("fabrics/{}/", fabric["id"], "core"),
        ("vlans/{}/", vlan["id"], "dmz"),
        ("spaces/{}/", space["id"], "9"),
        ("subnets/{}/", subnet["id"], "net"),
        ("racks/{}/", rack["id"], rack["name"]),
        ("virtual-machines/{}", guest["id"], guest["identifier"]),
        ("nodes/web/interfaces/{}/", nic["id"], nic["name"]),
        ("nodes/web/blockdevices/{}/", disk["id"], disk["name"]),
        ("domains/{}/", 0, "maas"),
    ):
        key = "system_id" if path == "machines/{}/" else "id"  # the rest may change from one request to the next
        for reference in (f"id:{id_}", f"name:{name}"):
            assert str((await innkeeper.get(path.format(reference)))[key]) == str(id_), path
    assert (await innkeeper.get("operations/id:1/"))["id"] == 1


async def test_a_field_takes_the_same_forms_as_a_path(innkeeper: Deployment) -> None:
    zone = await innkeeper.post("zones/", name="7")
    host = await innkeeper.add_simulated("west", host_name="west")
    for reference in ("7", "name:7", f"id:{zone['id']}"):
        assert (await innkeeper.put("vm-hosts/west/", zone=reference))["zone"]["id"] == zone["id"]
        found = await innkeeper.post("vm-hosts/", op="place", zone=reference, host=f"id:{host['id']}")
        assert found["chosen_id"] == host["id"]
    await innkeeper.delete("zones/name:7/?move_to=id:1")
    assert (await innkeeper.get("vm-hosts/west/"))["zone"]["name"] == "default"
    await innkeeper.delete("zones/id:7/")


async def test_a_zone_is_never_deleted_by_a_number_that_is_no_name(innkeeper: Deployment) -> None:
    zone = await innkeeper.post("zones/", name="east")
    await innkeeper.delete(f"zones/{zone['id']}/")
    assert [one["name"] for one in await innkeeper.get("zones/")] == ["default", "east"]
    await innkeeper.delete(f"zones/id:{zone['id']}/")
    assert [one["name"] for one in await innkeeper.get("zones/")] == ["default"]


async def test_an_unknown_object_is_named(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated("west")
    assert await rejected(innkeeper.get("vm-hosts/99/")) == "There is no VM host 99."
    assert await rejected(innkeeper.get("vm-hosts/wets/")) == "There is no VM host 'wets'. Did you mean 'west'?"
    assert await rejected(innkeeper.delete("vm-hosts/99/")) == "There is no VM host 99."
    assert await rejected(innkeeper.get("machines/abcdef/")) == "There is no machine 'abcdef'."
    assert await rejected(innkeeper.get("vm-clusters/5")) == "There is no VM cluster 5."
    assert await rejected(innkeeper.get("virtual-machines/5")) == "There is no virtual machine 5."
    assert await rejected(innkeeper.get("virtual-machines/a%00b")) == "There is no virtual machine 'a\\x00b'."
    assert await rejected(innkeeper.get("operations/x/")) == "There is no operation 'x'."
    assert await rejected(innkeeper.get("ipranges/x/")) == "There is no IP range 'x'."
    assert await rejected(innkeeper.get("racks/x/")) == "There is no rack 'x'."


@pytest.mark.slow
async def test_a_machine_is_reached_by_its_hostname(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(networks=NETWORKS)
    system_id = (await innkeeper.compose(host["id"], hostname="web"))["system_id"]
    for name in ("web", "WEB", "web.maas", "name:web", system_id):
        assert (await innkeeper.get(f"machines/{name}/"))["system_id"] == system_id
    assert (await innkeeper.post("machines/web/", op="power_on"))["power_state"] == "on"
    assert len(await innkeeper.get("operations/?machine=web")) == 2
    assert (await innkeeper.get("events/?op=query&id=web"))["count"] > 0
    (disk,) = await innkeeper.get("nodes/web/blockdevices/")
    assert await innkeeper.get("nodes/web/blockdevices/sda/") == disk
    (nic,) = await innkeeper.get("nodes/web/interfaces/")
    assert await innkeeper.get(f"nodes/web/interfaces/{nic['name']}/") == nic
    interfaces = await innkeeper.get("nodes/sim/interfaces/")
    changed = await innkeeper.put(f"nodes/sim/interfaces/{interfaces[0]['name']}/", tags="uplink")
    assert changed["tags"] == ["uplink"]
    guest = (await innkeeper.get("virtual-machines/web"))["id"]
    assert (await innkeeper.get(f"virtual-machines/{guest}"))["identifier"] == "web"
    await innkeeper.delete("machines/web/")
    assert await innkeeper.get("machines/") == []
    assert len(await innkeeper.get(f"operations/?machine={system_id}")) == 3


async def test_a_deletion_by_hostname_may_be_repeated(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], hostname="web")
    for _ in range(2):
        await innkeeper.send("DELETE", "machines/web/", headers={"Idempotency-Key": "once"})
    await innkeeper.compose(host["id"], hostname="web")
    await innkeeper.send("DELETE", "machines/web/", headers={"Idempotency-Key": "once"})
    assert len(await innkeeper.get("machines/")) == 1


async def test_an_ambiguous_name_lists_the_candidates(innkeeper: Deployment) -> None:
    for name in ("one", "two"):
        await innkeeper.add_simulated(name, guests=1)
    first, second = await innkeeper.get("virtual-machines/")
    assert first["identifier"] == second["identifier"]
    with pytest.raises(InvalidRequest) as error:
        await innkeeper.get(f"virtual-machines/{first['identifier']}")
    name = first["identifier"]
    expected = f"2 virtual machines are named {name!r}: use the id: {first['id']} on one, {second['id']} on two."
    assert expected in error.value.message


async def test_networks_are_named_in_paths_and_fields(innkeeper: Deployment) -> None:
    await innkeeper.post("fabrics/", name="core")
    await innkeeper.post("fabrics/core/vlans/", vid=100, name="dmz")
    assert (await innkeeper.get("fabrics/core/vlans/dmz/"))["vid"] == 100
    vlan = await innkeeper.get("vlans/dmz/")
    assert (await innkeeper.post("subnets/", cidr="10.9.0.0/24", vlan="dmz", name="net"))["vlan"]["id"] == vlan["id"]
    assert (await innkeeper.get("subnets/name:net/"))["cidr"] == "10.9.0.0/24"
    await innkeeper.post("fabrics/name:core/vlans/", vid=101, name="dmz")
    found = await rejected(innkeeper.put("subnets/net/", vlan="dmz"))
    assert f"2 VLANs are named 'dmz': use the id: {vlan['id']} in core, {vlan['id'] + 1} in core." in found
    assert "There is no VLAN 'dmx'; there are dmz, untagged." in await rejected(
        innkeeper.put("subnets/net/", vlan="dmx")
    )
    assert "There is no fabric 'cor'; there are core" in await rejected(innkeeper.put("vlans/5001/", fabric="cor"))


async def test_groups_in_fields_are_named_or_given_by_id(innkeeper: Deployment) -> None:
    for name in ("east", "west"):
        await innkeeper.post("zones/", name=name)
    host = await innkeeper.add_simulated()
    assert (await innkeeper.put("vm-hosts/sim/", zone="2"))["zone"]["name"] == "east"
    assert "No such zone: 'eat'. There are east, default, west." in await rejected(
        innkeeper.put("vm-hosts/sim/", zone="eat")
    )
    assert "No such zone: 'eat'. There are east, default, west." in await rejected(
        innkeeper.post(f"vm-hosts/{host['id']}/", op="compose", zone="eat")
    )
    assert "No such pool: 'labs'. There is default." in await rejected(innkeeper.put("vm-hosts/sim/", pool="labs"))


async def test_racks_and_clusters_have_names_too(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    await rows(innkeeper, "with c as (insert into cluster (name, identity, project) values ('c', 'x', '') returning id)"
                          " update vm_host set cluster_id = (select id from c) returning id")  # fmt: skip
    assert (await innkeeper.get("vm-clusters/c"))["id"] == 1
    (rack,) = await innkeeper.get("racks/")
    assert (await innkeeper.get(f"racks/{rack['name']}/"))["id"] == rack["id"]


async def test_a_name_opens_nothing_that_the_id_would_not(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], hostname="web")
    user = await as_user(innkeeper, "ann")
    for path, op in (("vm-hosts/sim/", "parameters"), ("vm-hosts/absent/", "parameters")):
        with pytest.raises(NotAllowed):
            await user.get(path, op=op)
    for path in ("machines/web/", "vm-hosts/sim/"):
        with pytest.raises(NotAllowed):
            await user.delete(path)
    with pytest.raises(NotAllowed):
        await user.post("machines/web/", op="power_on")
    with pytest.raises(NotFound):
        await user.get("machines/absent/")
