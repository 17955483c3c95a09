"""Devices: containers on machines, registered and linked as Juju does it by gomaasapi."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from regiond.machines.values.devices import MAX_DEVICE_NICS, MAX_DEVICES, MAX_OWN_DEVICES, MAX_OWN_DEVICES_OF_ADMIN
from tests.deployment.deployment import Deployment
from tests.integration.networks.test_nic_links import NETWORKS, allocated, reaches, ready, subnet
from tests.integration.support.tables import rows, sql
from tests.integration.support.two_pools import NATIVE, Role, two_pools
from tests.integration.support.users import as_user, own
from tests.support.rejections import invalid_fields, rejected_status, rejection

MAC = "52:54:00:aa:00:01"
REQUIRED_BY_GOMAASAPI = {
    "resource_uri": str, "system_id": str, "hostname": str, "fqdn": str, "parent": str, "owner": str,
    "ip_addresses": list, "interface_set": list, "zone": dict,
}  # fmt: skip

_FILL = """
    insert into device (system_id, hostname, parent_id)
    select 'fill' || number, 'fill-' || number, m.id from generate_series(1, $1) number, machine m
     where m.system_id = $2
"""
_FILL_OWN = """
    insert into device (system_id, hostname, owner_id, zone_id)
    select 'fill' || number, 'fill-' || number, a.id, 1 from generate_series(1, $1) number, account a
     where a.username = $2
"""


async def register(innkeeper: Deployment, parent: str, hostname: str = "box", mac: str = MAC) -> Any:
    return await innkeeper.post("devices/", mac_addresses=mac, parent=parent, hostname=hostname, domain="maas")


def interface_of(device: Any, number: int = 0) -> str:
    return f"nodes/{device['system_id']}/interfaces/{device['interface_set'][number]['id']}/"


@pytest.mark.slow
async def test_a_container_gets_addresses_as_juju_asks_for_them(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    of_subnet = await subnet(innkeeper)
    device = await register(innkeeper, nic.system_id)
    assert {name: type(device[name]) for name in REQUIRED_BY_GOMAASAPI} == REQUIRED_BY_GOMAASAPI
    assert (device["parent"], device["owner"], device["node_type"]) == (nic.system_id, "admin", 1)
    path = interface_of(device)
    changed = await innkeeper.put(path, name="eth7", vlan=of_subnet["vlan"]["id"], mac_address=MAC.upper())
    assert (changed["name"], changed["vlan"]["id"], changed["links"]) == ("eth7", of_subnet["vlan"]["id"], [])
    linked = await innkeeper.post(path, op="link_subnet", mode="STATIC", subnet=of_subnet["id"])
    assert [(one["mode"], one["ip_address"]) for one in linked["links"]] == [("static", "10.1.0.2")]
    added = await innkeeper.post(
        f"nodes/{device['system_id']}/interfaces/", op="create_physical", mac_address="52:54:00:aa:00:02", mtu=9000,
        vlan=of_subnet["vlan"]["id"],
    )  # fmt: skip
    assert (added["name"], added["effective_mtu"]) == ("eth0", 9000)
    second = f"nodes/{device['system_id']}/interfaces/{added['id']}/"
    await innkeeper.post(second, op="link_subnet", mode="auto", subnet="10.1.0.0/24")
    (found,) = await innkeeper.get(f"devices/?mac_address={MAC}")
    assert found["ip_addresses"] == ["10.1.0.2", "10.1.0.3"]
    assert (await innkeeper.get(f"machines/{nic.system_id}/"))["ip_addresses"] == [], "they are the device's"
    await innkeeper.delete(second)
    await innkeeper.post(path, op="unlink_subnet", id=linked["links"][0]["id"])
    assert (await innkeeper.get(f"devices/{device['system_id']}/"))["ip_addresses"] == []
    await innkeeper.delete(f"devices/{device['system_id']}/")
    assert (await innkeeper.get("devices/"), await rows(innkeeper, "select 1 from ip_address")) == ([], [])


@pytest.mark.slow
async def test_devices_are_found_by_every_filter(innkeeper: Deployment) -> None:
    web, db = await allocated(innkeeper), await allocated(innkeeper, "db")
    await innkeeper.post("resourcepools/", name="other")
    await innkeeper.post("zones/", name="far")
    await innkeeper.post("tags/", name="edge")
    await innkeeper.put(f"machines/{db.system_id}/", pool="other")
    await sql(innkeeper, "update machine set agent_name = 'juju' where hostname = 'db'")
    ann = await as_user(innkeeper, "ann")
    await own(innkeeper, web.system_id, "ann")
    one = await register(innkeeper, "web", "box-1")
    two = await register(innkeeper, db.system_id, "box-2", "52:54:00:aa:00:02")
    for query, found in {
        "": [one, two], f"id={one['system_id']}": [one], "hostname=box-2": [two], "hostname=box-2.maas": [two],
        f"parent={web.system_id}": [one], "mac_address=52:54:00:AA:00:02": [two], "zone=default": [one, two],
        "zone=far": [], "domain=maas": [one, two], "id=nobody": [],
        "domain=0": [one, two], "hostname=BOX-2.maas": [two], "pool=other": [two], "pool=0": [one],
        "agent_name=juju": [], "owner=ann": [one], "owner=admin&pool=default": [],
        "tags=edge": [], "zone=1": [one, two],
    }.items():  # fmt: skip
        assert await innkeeper.get(f"devices/?{query}") == found, query
    assert await ann.get("devices/") == [one]
    for user, query, field in (
        (ann, "pool=other", "pool"),
        (innkeeper, "zone=x", "zone"),
        (innkeeper, "tags=x", "tags"),
    ):
        assert list(await invalid_fields(user.get(f"devices/?{query}"))) == [field]
    assert list(await invalid_fields(innkeeper.get("devices/?fabrics=1"))) == ["fabrics"]
    assert await innkeeper.get("devices/box-2/") == two
    assert await innkeeper.get(f"nodes/{two['system_id']}/interfaces/") == two["interface_set"]
    renamed = await innkeeper.put("devices/box-2/", hostname="box-3", description="lxd")
    assert (renamed["hostname"], renamed["fqdn"], renamed["description"]) == ("box-3", "box-3.maas", "lxd")


@pytest.mark.slow
async def test_a_release_or_deletion_of_the_machine_deletes_its_devices(innkeeper: Deployment) -> None:
    for action in ("release", "delete"):
        nic = await allocated(innkeeper, f"for-{action}")
        device = await register(innkeeper, nic.system_id)
        await innkeeper.post(interface_of(device), op="link_subnet", mode="AUTO", subnet="10.1.0.0/24")
        assert await innkeeper.get("discrepancies/") == [], "its address is no orphan"
        if action == "release":
            await innkeeper.post(f"machines/{nic.system_id}/", op="release")
            await reaches(nic, "Ready")
        else:
            await innkeeper.delete(f"machines/{nic.system_id}/")
        assert await innkeeper.get("devices/") == []
        assert await rows(innkeeper, "select 1 from ip_address") == []


async def test_an_address_of_a_device_is_given_to_nobody_else(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    path = interface_of(await register(innkeeper, nic.system_id))
    await innkeeper.post(path, op="link_subnet", mode="STATIC", subnet="10.1.0.0/24", ip_address="10.1.0.2")
    taken = await invalid_fields(nic.link("STATIC", ip_address="10.1.0.2"))
    assert taken == {"ip_address": ["10.1.0.2 belongs to machine web (its device box)."]}
    assert (await nic.link("AUTO"))["links"][0]["ip_address"] == "10.1.0.3"


async def test_wrong_requests_say_why(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    device = await register(innkeeper, nic.system_id)
    create: dict[str, Any] = {"mac_addresses": "52:54:00:aa:00:09", "parent": nic.system_id}
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({**create, "mac_addresses": MAC}, "mac_addresses"),
        ({**create, "mac_addresses": "x"}, "mac_addresses"),
        ({**create, "parent": "nobody"}, "parent"),
        ({**create, "hostname": "web"}, "hostname"),
        ({**create, "hostname": "a_b"}, "hostname"),
        ({"parent": nic.system_id}, "mac_addresses"),
    )
    for fields, field in wrong:
        assert list(await invalid_fields(innkeeper.post("devices/", **fields))) == [field], fields
    path = interface_of(device)
    await innkeeper.put(path, vlan=(await subnet(innkeeper))["vlan"]["id"])
    elsewhere = innkeeper.post(path, op="link_subnet", mode="AUTO", subnet="10.2.0.0/24")
    assert list(await invalid_fields(elsewhere)) == ["subnet"]
    assert [one["hostname"] for one in await innkeeper.get("devices/")] == ["box"]


async def test_no_machine_gets_the_hostname_of_a_device(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    await register(innkeeper, nic.system_id)
    (host,) = await innkeeper.get("vm-hosts/")
    taken = {"hostname": ['Node with hostname "box" already exists']}
    assert await invalid_fields(innkeeper.compose(host["id"], hostname="box")) == taken
    assert await invalid_fields(innkeeper.put(f"machines/{nic.system_id}/", hostname="box")) == taken
    assert (await innkeeper.put(f"machines/{nic.system_id}/", description="x"))["hostname"] == "web"


async def test_only_the_owner_of_the_machine_has_devices_on_it(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
    composed = await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="web")
    assert await rejected_status(register(innkeeper, composed["system_id"])) == 409
    await innkeeper.post("machines/", op="allocate", system_id=composed["system_id"])
    device = await register(innkeeper, composed["system_id"])
    ann = await as_user(innkeeper, "ann")
    assert await rejected_status(register(ann, composed["system_id"], "other", "52:54:00:aa:00:05")) == 403
    assert await rejected_status(ann.delete(f"devices/{device['system_id']}/")) == 403
    assert await rejected_status(ann.post(interface_of(device), op="disconnect")) == 403
    assert await ann.get("devices/") == [device]


async def test_an_owner_without_the_role_registers_no_device(innkeeper: Deployment) -> None:
    """Who operates another pool only, and owns a machine in this one."""
    pools = await two_pools(innkeeper)
    system_id = pools.contents[NATIVE].system_id
    await own(innkeeper, system_id, "emil")
    refused = await rejection(register(pools.as_role(Role.ELSEWHERE), system_id))
    assert (refused.details["status"], "needs the role operator" in refused.message) == (403, True)


async def test_a_device_is_only_on_networks_of_its_machine(innkeeper: Deployment) -> None:
    path = interface_of(await register(innkeeper, (await allocated(innkeeper)).system_id))
    dmz, lan = [await subnet(innkeeper, cidr) for cidr in ("10.1.0.0/24", "10.2.0.0/24")]
    for mode in ("AUTO", "STATIC", "DHCP", "LINK_UP"):
        fields = await invalid_fields(innkeeper.post(path, op="link_subnet", mode=mode, subnet=lan["id"]))
        (reason,) = fields["subnet"]
        assert f"the NICs of web are on VLAN {dmz['vlan']['name']} (id {dmz['vlan']['id']})" in reason
    change = innkeeper.put(path, vlan=lan["vlan"]["id"])
    assert "the NICs of web are on VLAN" in str((await invalid_fields(change))["vlan"])
    interfaces = path.rsplit("/", 2)[0] + "/"
    added = innkeeper.post(interfaces, op="create_physical", mac_address="52:54:00:aa:00:02", vlan=lan["vlan"]["id"])
    assert list(await invalid_fields(added)) == ["vlan"]
    assert (await innkeeper.get(path))["links"] == []


async def test_a_device_has_addresses_in_each_network_of_its_machine(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper, interfaces="eth0:subnet_cidr=10.1.0.0/24;eth1:subnet_cidr=10.2.0.0/24")
    device = await innkeeper.post(
        "devices/", mac_addresses=f"{MAC},52:54:00:aa:00:02", parent=nic.system_id, hostname="box"
    )
    for number, cidr in enumerate(("10.1.0.0/24", "10.2.0.0/24")):
        await innkeeper.post(interface_of(device, number), op="link_subnet", mode="AUTO", subnet=cidr)
    assert (await innkeeper.get("devices/box/"))["ip_addresses"] == ["10.1.0.2", "10.2.0.2"]


async def test_a_device_of_a_machine_without_nics_is_linked_to_no_subnet(innkeeper: Deployment) -> None:
    await allocated(innkeeper, "other")
    nic = await allocated(innkeeper, interfaces="")
    await innkeeper.region.components.database.in_transaction(
        lambda db: db.execute(
            "delete from machine_nic where machine_id = (select id from machine where hostname = 'web')"
        )
    )
    path = interface_of(await register(innkeeper, nic.system_id))
    fields = await invalid_fields(innkeeper.post(path, op="link_subnet", mode="AUTO", subnet="10.1.0.0/24"))
    assert "The VLANs of the NICs of web are unknown" in fields["subnet"][0]


async def test_a_device_without_addresses_outside_of_dhcp_gets_a_remedy(innkeeper: Deployment) -> None:
    path = interface_of(await register(innkeeper, (await allocated(innkeeper)).system_id))
    await innkeeper.post("ipranges/", type="reserved", start_ip="10.1.0.2", end_ip="10.1.0.127")
    for mode in ("AUTO", "STATIC"):
        error = await rejection(innkeeper.post(path, op="link_subnet", mode=mode, subnet="10.1.0.0/24"))
        assert error.details["status"] == 409
        assert "10.1.0.0/24 has no free address outside of the DHCP range 10.1.0.128-10.1.0.254" in error.message
        assert (
            "lxc network set NETWORK ipv4.dhcp.ranges=10.1.0.128-10.1.0.191 "
            "(Incus: incus network set, libvirt: virsh net-edit NETWORK)" in error.message
        )
    await innkeeper.post("ipranges/", type="reserved", start_ip="10.1.0.128", end_ip="10.1.0.254")
    assert await rejected_status(innkeeper.post(path, op="link_subnet", mode="AUTO", subnet="10.1.0.0/24")) == 503
    assert (await innkeeper.get(path))["links"] == []


async def test_a_device_gets_no_address_of_a_dhcp_range_by_name_either(innkeeper: Deployment) -> None:
    """No host reserves it for a device, so the DHCP server would give it to another guest."""
    nic = await allocated(innkeeper)
    device = await register(innkeeper, nic.system_id)
    link: dict[str, Any] = {"op": "link_subnet", "mode": "STATIC", "subnet": "10.1.0.0/24"}
    for address in ("10.1.0.128", "10.1.0.254"):
        fields = await invalid_fields(innkeeper.post(interface_of(device), ip_address=address, **link))
        (reason,) = fields["ip_address"]
        assert reason.startswith(f"{address} is in the DHCP range 10.1.0.128-10.1.0.254 of its VM hosts, which give")
        assert "lxc network set NETWORK ipv4.dhcp.ranges=10.1.0.128-10.1.0.191" in reason
    assert await rows(innkeeper, "select 1 from ip_address") == []
    linked = await innkeeper.post(interface_of(device), ip_address="10.1.0.127", **link)
    assert linked["links"][0]["ip_address"] == "10.1.0.127"
    linked = await nic.link("STATIC", ip_address="10.1.0.128")
    assert linked["links"][0]["ip_address"] == "10.1.0.128", "the host reserves it for a NIC of the machine"


async def test_the_numbers_of_devices_and_their_interfaces_are_bounded(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    macs = [f"52:54:00:aa:01:{number:02x}" for number in range(MAX_DEVICE_NICS + 1)]
    too_many = await invalid_fields(innkeeper.post("devices/", parent="web", mac_addresses=",".join(macs)))
    assert str(MAX_DEVICE_NICS) in str(too_many["mac_addresses"])
    device = await innkeeper.post("devices/", parent="web", hostname="box", mac_addresses=",".join(macs[:-1]))
    one_more = innkeeper.post(f"nodes/{device['system_id']}/interfaces/", op="create_physical", mac_address=macs[-1])
    assert (await rejection(one_more)).message == "box has 8 interfaces; a device has at most 8."
    await sql(innkeeper, _FILL, MAX_DEVICES - 1, nic.system_id)
    another = await invalid_fields(register(innkeeper, nic.system_id, "another"))
    assert another == {"parent": ["web has 64 devices; a machine has at most 64. Delete one first."]}
    await innkeeper.delete("devices/box/")
    await register(innkeeper, nic.system_id, "another")


async def test_devices_that_are_linked_at_once_get_different_addresses(innkeeper: Deployment) -> None:
    web, db = await allocated(innkeeper), await allocated(innkeeper, "db")
    parents = (web, db, web, db)
    devices = [
        await register(innkeeper, parent.system_id, f"box-{number}", f"52:54:00:aa:00:1{number}")
        for number, parent in enumerate(parents)
    ]
    link: dict[str, Any] = {"op": "link_subnet", "mode": "AUTO", "subnet": "10.1.0.0/24"}
    linked = await asyncio.gather(*(innkeeper.post(interface_of(device), **link) for device in devices))
    assert len({one["links"][0]["ip_address"] for one in linked}) == len(devices)


async def test_a_device_does_not_get_an_address_that_is_kept_for_its_machine(innkeeper: Deployment) -> None:
    """The owner moved the NIC; its release gives it the address of before."""
    nic = await ready(innkeeper)
    await nic.link("STATIC", ip_address="10.1.0.2")
    await innkeeper.post("machines/", op="allocate", system_id=nic.system_id)
    await nic.link("STATIC", ip_address="10.1.0.9", force=True)
    device = await register(innkeeper, nic.system_id)
    linked = await innkeeper.post(interface_of(device), op="link_subnet", mode="AUTO", subnet="10.1.0.0/24")
    assert linked["links"][0]["ip_address"] == "10.1.0.3"
    fields = await invalid_fields(
        innkeeper.post(
            interface_of(device), op="link_subnet", mode="STATIC", subnet="10.1.0.0/24", ip_address="10.1.0.2", force=1
        )
    )
    assert "kept for machine web" in str(fields)


async def test_a_device_needs_no_machine(innkeeper: Deployment) -> None:
    """As Terraform's `maas_device`, libmaas and gomaasclient register printers, switches and the like."""
    await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
    await innkeeper.post("zones/", name="attic")
    ann = await as_user(innkeeper, "ann")
    device = await ann.post(
        "devices/", mac_addresses=MAC, hostname="printer", domain="maas", zone="attic", description="on floor 2"
    )
    shown = {name: device[name] for name in ("parent", "owner", "pool", "hostname", "description")}
    assert shown == {
        "parent": None, "owner": "ann", "pool": None, "hostname": "printer", "description": "on floor 2",
    }  # fmt: skip
    assert device["zone"]["name"] == "attic"
    await innkeeper.put("devices/printer/", zone="default")
    assert (await ann.get("devices/printer/"))["zone"]["name"] == "default"
    for cidr in ("10.1.0.0/24", "10.2.0.0/24"):
        linked = await ann.post(interface_of(device), op="link_subnet", mode="AUTO", subnet=cidr, force=True)
    assert linked["links"][0]["ip_address"] == "10.2.0.2", "it can be on any network"
    assert await innkeeper.get("discrepancies/") == []
    lan = await subnet(innkeeper, "10.2.0.0/24")
    used = await ann.get(f"subnets/{lan['id']}/?op=ip_addresses")
    assert ("10.2.0.2", device["system_id"], "printer") in [
        (one["ip"], one["system_id"], one["hostname"]) for one in used
    ]
    (event,) = (await ann.get("events/?op=query&limit=1"))["events"]
    assert (event["node"], "printer is linked" in event["description"]) == (device["system_id"], True)
    await ann.delete("devices/printer/")
    assert await rows(innkeeper, "select 1 from ip_address") == []


async def test_a_device_of_another_account_is_not_seen(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    ann, bob = await as_user(innkeeper, "ann"), await as_user(innkeeper, "bob")
    device = await ann.post("devices/", mac_addresses=MAC, hostname="printer")
    link: dict[str, Any] = {"op": "link_subnet", "mode": "STATIC", "subnet": "10.1.0.0/24", "ip_address": "10.1.0.9"}
    await ann.post(interface_of(device), **link)
    assert await bob.get("devices/") == []
    for attempt in (bob.get("devices/printer/"), bob.delete("devices/printer/"), bob.put(interface_of(device))):
        assert await rejected_status(attempt) == 404
    assert [one["hostname"] for one in await innkeeper.get("devices/?owner=ann&zone=default")] == ["printer"]
    taken = await invalid_fields(bob.post("devices/", mac_addresses=MAC))
    assert taken == {"mac_addresses": [f"{MAC} is that of another device."]}
    assert await invalid_fields(nic.link("STATIC", ip_address="10.1.0.9")) == {
        "ip_address": ["10.1.0.9 belongs to device printer."]
    }
    await own(innkeeper, nic.system_id, "bob")
    theirs = await register(bob, nic.system_id, mac="52:54:00:aa:00:07")
    assert await invalid_fields(bob.post(interface_of(theirs), **link)) == {
        "ip_address": ["10.1.0.9 belongs to another device."]
    }


async def test_a_device_on_a_machine_is_in_the_zone_of_the_machine(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    await innkeeper.post("zones/", name="attic")
    for attempt in (
        innkeeper.post("devices/", mac_addresses="52:54:00:aa:00:08", parent="web", zone="attic"),
        innkeeper.put(f"devices/{(await register(innkeeper, nic.system_id))['system_id']}/", zone="attic"),
    ):
        (reason,) = (await invalid_fields(attempt))["zone"]
        assert "so in its zone, default" in reason
    again = await innkeeper.post("devices/", mac_addresses="52:54:00:aa:00:08", parent="web", zone="default")
    assert again["zone"]["name"] == "default"


async def test_an_administrator_has_more_devices_without_machine(innkeeper: Deployment) -> None:
    await sql(innkeeper, _FILL_OWN, MAX_OWN_DEVICES, "admin")
    await innkeeper.post("devices/", mac_addresses=MAC)
    await sql(innkeeper, "delete from device")
    await sql(innkeeper, _FILL_OWN, MAX_OWN_DEVICES_OF_ADMIN, "admin")
    assert (
        "at most 64, an administrator 1000" in (await rejection(innkeeper.post("devices/", mac_addresses=MAC))).message
    )


async def test_devices_of_an_account_are_bounded_and_go_to_another_one(innkeeper: Deployment) -> None:
    ann, bob = await as_user(innkeeper, "ann"), await as_user(innkeeper, "bob")
    await sql(innkeeper, _FILL_OWN, MAX_OWN_DEVICES - 1, "ann")
    await innkeeper.post("zones/", name="attic")
    await ann.post("devices/", mac_addresses=MAC, hostname="printer", zone="attic")
    error = await rejection(ann.post("devices/", mac_addresses="52:54:00:aa:00:02"))
    assert error.message.startswith("ann has 64 devices that are on no machine; an account has at most 64,")
    await innkeeper.delete("zones/attic/?move_to=default")
    assert (await ann.get("devices/printer/"))["zone"]["name"] == "default"
    assert await rejected_status(innkeeper.delete("users/ann/")) == 400
    await innkeeper.delete("users/ann/?transfer_resources_to=bob")
    assert (await bob.get("devices/printer/"))["owner"] == "bob"
