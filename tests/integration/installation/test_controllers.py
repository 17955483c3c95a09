"""Racks, regions and all nodes as clients of MAAS read them, and the settings that they ask for."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import NotFound
from tests.deployment.deployment import Deployment
from tests.integration.support.users import as_user
from tests.support.rejections import invalid_fields, rejection


async def config(innkeeper: Deployment, name: str) -> Any:
    return await innkeeper.get(f"maas/?op=get_config&name={name}")


async def test_racks_are_rack_controllers(innkeeper: Deployment) -> None:
    (rack,) = await innkeeper.get("racks/")
    (controller,) = await innkeeper.get("rackcontrollers/")
    assert controller == await innkeeper.get(f"rackcontrollers/{rack['id']}/")
    assert controller == await innkeeper.get("rackcontrollers/rack/")
    assert controller["system_id"] == rack["id"]
    assert (controller["hostname"], controller["fqdn"], controller["node_type"]) == ("rack", "rack.maas", 2)
    assert (controller["status"], controller["status_name"], controller["power_state"]) == (6, "Deployed", "on")
    assert controller["zone"]["name"] == "default"
    assert controller["service_set"] == [{"name": "rackd", "status": "running", "status_info": ""}]


async def test_filters_select_rack_controllers(innkeeper: Deployment) -> None:
    (rack,) = await innkeeper.get("racks/")
    for query, count in (
        ("hostname=rack", 1), ("hostname=other", 0), (f"id={rack['id']}", 1), ("id=x", 0), ("zone=default", 1),
        ("hostname=rack&id=x", 0), ("mac_address=52:54:00:00:00:01", 0), ("hostname=other&hostname=rack", 1),
    ):  # fmt: skip
        assert len(await innkeeper.get(f"rackcontrollers/?{query}")) == count, query


async def test_a_rack_that_serves_a_zone_is_in_it(innkeeper: Deployment) -> None:
    await innkeeper.post("zones/", name="east")
    await innkeeper.put("racks/rack/", zones="east")
    assert (await innkeeper.get("rackcontrollers/rack/"))["zone"]["name"] == "east"


async def test_removed_racks_are_no_controllers(innkeeper: Deployment) -> None:
    (rack,) = await innkeeper.get("racks/")
    await innkeeper.delete("racks/rack/")
    assert await innkeeper.get("rackcontrollers/") == []
    with pytest.raises(NotFound):
        await innkeeper.get(f"rackcontrollers/{rack['id']}/")


async def test_regions_are_region_controllers_for_administrators(innkeeper: Deployment) -> None:
    (region,) = await innkeeper.get("regions/")
    (controller,) = await innkeeper.get("regioncontrollers/")
    assert (controller["system_id"], controller["node_type"]) == (region["id"], 3)
    assert controller == await innkeeper.get(f"regioncontrollers/{region['hostname']}/")
    with pytest.raises(NotFound):
        await innkeeper.get("regioncontrollers/nothing/")
    ann = await as_user(innkeeper, "ann")
    assert len(await ann.get("rackcontrollers/")) == 1
    assert (await rejection(ann.get("regioncontrollers/"))).details["status"] == 403


@pytest.mark.slow
async def test_nodes_are_machines_devices_and_racks(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    for name in ("one", "two"):
        await innkeeper.compose(host["id"], hostname=name)
    machine = (await innkeeper.get("machines/?hostname=one"))[0]
    await innkeeper.post("machines/", op="allocate", system_id=machine["system_id"])
    machine = (await innkeeper.get("machines/?hostname=one"))[0]
    await innkeeper.post("devices/", parent="one", hostname="box", mac_addresses="52:54:00:aa:00:01")
    for path, name in (("zones/", "far"), ("resourcepools/", "other"), ("tags/", "edge")):
        await innkeeper.post(path, name=name)
    nodes = await innkeeper.get("nodes/")
    assert [node["hostname"] for node in nodes] == ["one", "two", "box", "rack"]
    assert [node["node_type"] for node in nodes] == [0, 0, 1, 2]
    (box,) = await innkeeper.get("devices/")
    assert nodes[2] == box == await innkeeper.get("nodes/box/") == await innkeeper.get(f"nodes/{box['system_id']}/")
    assert nodes[0] == machine == await innkeeper.get(f"nodes/{machine['system_id']}/")
    assert await innkeeper.get("nodes/rack/") == nodes[3]
    mac_address = machine["interface_set"][0]["mac_address"]
    for query, expected in (
        (f"id={machine['system_id']}", ["one"]), ("hostname=two&hostname=rack", ["two", "rack"]),
        (f"mac_address={mac_address.upper()}", ["one"]), ("zone=1", ["one", "two", "box", "rack"]), ("zone=far", []),
        ("agent_name=juju", []), ("mac_address=52:54:00:aa:00:01", ["box"]), (f"id={box['system_id']}", ["box"]),
        ("domain=maas", ["one", "two", "box", "rack"]), ("pool=default", ["one", "two", "box"]),
        ("pool=other", []), ("tags=edge", []),
    ):  # fmt: skip
        assert [node["hostname"] for node in await innkeeper.get(f"nodes/?{query}")] == expected, query
    assert [*await invalid_fields(innkeeper.get("nodes/?zone=x&mac_address=52"))] == ["mac_address", "zone"]
    assert [*await invalid_fields(innkeeper.get("nodes/?domain=other"))] == ["domain"]
    of_host = await innkeeper.get(f"nodes/{host['host']['system_id']}/")
    assert (of_host["hostname"], of_host["status_name"]) == ("sim", "Deployed")
    assert await innkeeper.get(f"nodes/?id={host['host']['system_id']}") == [of_host]
    with pytest.raises(NotFound):
        await innkeeper.get("nodes/nothing/")


async def test_settings_name_the_default_image(innkeeper: Deployment) -> None:
    assert await config(innkeeper, "maas_name") == "innkeeper"
    assert await config(innkeeper, "default_osystem") == "ubuntu"
    assert await config(innkeeper, "default_distro_series") == ""
    problems = await invalid_fields(config(innkeeper, "no-such-setting"))
    assert "default_osystem, default_distro_series, maas_name" in problems["name"][0]
