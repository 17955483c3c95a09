"""Devices of machines whose host is removed: announced before, and back with their machine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.machines.test_devices import MAC, interface_of, register
from tests.integration.networks.test_nic_links import NETWORKS, Nic, allocated, reaches
from tests.integration.support.tables import sql

ADDRESS = "10.1.0.5"


async def with_device(innkeeper: Deployment) -> tuple[Nic, Any]:
    """An allocated machine, and on it the device `box`, which has the address."""
    nic = await allocated(innkeeper)
    device = await register(innkeeper, nic.system_id)
    link: dict[str, Any] = {"mode": "STATIC", "subnet": "10.1.0.0/24", "ip_address": ADDRESS}
    await innkeeper.post(interface_of(device), op="link_subnet", **link)
    await innkeeper.put(interface_of(device), name="uplink", tags="a,b", mtu=1400)
    await innkeeper.post(f"devices/{device['system_id']}/", op="set_owner_data", room="12")
    return nic, await innkeeper.get(f"devices/{device['system_id']}/")


async def remove_host(innkeeper: Deployment, name: str = "sim") -> None:
    (host,) = [one for one in await innkeeper.get("vm-hosts/") if one["name"] == name]
    await innkeeper.delete(f"vm-hosts/{host['id']}/")


def without_ids(device: Any) -> Any:
    """Its NICs and their links have new ids."""
    nics = [
        {key: one[key] for key in ("name", "mac_address", "vlan", "tags", "effective_mtu")}
        | {"links": [{key: link[key] for key in link if key != "id"} for link in one["links"]]}
        for one in device["interface_set"]
    ]
    return {**device, "interface_set": nics, "boot_interface": None}


async def test_devices_return_with_their_machine(innkeeper: Deployment) -> None:
    nic, device = await with_device(innkeeper)
    await remove_host(innkeeper)
    assert await innkeeper.get("devices/") == []
    await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
    await reaches(nic, "Allocated")
    (found,) = await innkeeper.get("devices/")
    assert without_ids(found) == without_ids(device)
    assert (found["ip_addresses"], found["parent"]) == ([ADDRESS], nic.system_id)
    (event,) = await sql(innkeeper, "select message, level from event where kind = 'machine_restored'")
    assert (event["message"].endswith("; its devices are box"), event["level"]) == (True, "info")
    assert await innkeeper.get("discrepancies/") == []


@pytest.mark.slow
async def test_a_device_returns_without_what_others_have_now(innkeeper: Deployment) -> None:
    nic, device = await with_device(innkeeper)
    await remove_host(innkeeper)
    other = await innkeeper.add_simulated("other", cores=8, storage_gb=1000, networks=NETWORKS)
    await innkeeper.compose(other["id"], cores=1, memory=1024, hostname="box", interfaces=f"eth0:ip={ADDRESS}")
    await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
    await reaches(nic, "Allocated")
    (found,) = await innkeeper.get("devices/")
    assert (found["system_id"], found["hostname"]) == (device["system_id"], f"box-{device['system_id']}")
    (interface,) = found["interface_set"]
    assert (interface["mac_address"], interface["links"], found["ip_addresses"]) == (MAC, [], [])
    (event,) = await sql(innkeeper, "select message, level from event where kind = 'machine_restored'")
    assert (f"its former addresses {ADDRESS} are in use" in event["message"], event["level"]) == (True, "warning")


@pytest.mark.slow
async def test_a_device_whose_names_are_all_taken_does_not_hold_its_machine_back(innkeeper: Deployment) -> None:
    nic, device = await with_device(innkeeper)
    await remove_host(innkeeper)
    other = await innkeeper.add_simulated("other", cores=8, storage_gb=1000, networks=NETWORKS)
    for name in ("box", f"box-{device['system_id']}"):
        await innkeeper.compose(other["id"], cores=1, memory=1024, hostname=name)
    await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
    await reaches(nic, "Allocated")
    assert await innkeeper.get("devices/") == []


async def test_a_machine_whose_name_a_device_has_returns_with_another(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    await remove_host(innkeeper)
    other = await innkeeper.add_simulated("other", cores=8, storage_gb=1000, networks=NETWORKS)
    parent = await innkeeper.compose(other["id"], cores=1, memory=1024, hostname="db")
    await innkeeper.post("machines/", op="allocate", system_id=parent["system_id"])
    await register(innkeeper, parent["system_id"], "web")
    await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
    assert (await reaches(nic, "Allocated"))["hostname"] == f"web-{nic.system_id}"


async def test_a_machine_without_owner_returns_without_devices(innkeeper: Deployment) -> None:
    """They were its owner's, whose account was deleted in the meantime."""
    nic, _ = await with_device(innkeeper)
    await remove_host(innkeeper)
    await sql(innkeeper, "update detached_machine set owner_id = null")
    await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
    await reaches(nic, "Ready")
    assert await innkeeper.get("devices/") == []


GONE = "Devices deleted with their machines (1): box."
RETURNING = "Devices that return with their machines when the host is added again (1): box."


@pytest.mark.parametrize(
    ("options", "effect"),
    [({}, RETURNING), ({"decompose": "true"}, GONE)],
    ids=["machines are kept", "machines are deleted"],
)
async def test_the_plan_of_a_hosts_removal_has_the_devices(
    innkeeper: Deployment, options: dict[str, str], effect: str
) -> None:
    await with_device(innkeeper)
    (host,) = await innkeeper.get("vm-hosts/")
    plan = (await innkeeper.delete(f"vm-hosts/{host['id']}/", dry_run="true", **options)).json()
    assert plan["effects"] == [effect]
    assert [guest["devices"] for guest in plan["deleted"] + plan["kept"]] == [["box"]]


@pytest.mark.parametrize("op", ["release", "forget", "delete"])
async def test_the_plan_of_what_ends_a_machines_devices_has_them(innkeeper: Deployment, op: str) -> None:
    nic, _ = await with_device(innkeeper)
    path = f"machines/{nic.system_id}/"
    if op == "delete":
        plan = (await innkeeper.delete(path, dry_run="true")).json()
    else:
        plan = await innkeeper.post(path, op=op, dry_run="true")
    assert "Devices deleted (1): box." in plan["effects"]
