"""Forgetting machines, and restoring the machines of a host that is added again; guests are never restarted."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import NotFound
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.support.adoption import (
    ASYNC,
    adopt,
    claims,
    detached,
    guests,
    kinds_of_events,
    markers,
    refresh,
    rows,
    volumes,
)
from tests.integration.support.tables import is_count
from tests.support.waiting import eventually


async def test_forgetting_leaves_a_running_foreign_guest(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    composed = await innkeeper.compose(host["id"], hostname="web", cores=2, power_on="true")
    (adopted,) = await adopt(innkeeper, host, guests="foreign-0001")
    before = guests(innkeeper), volumes(innkeeper), (await refresh(innkeeper, host))["used"]
    for system_id in (composed["system_id"], adopted["system_id"]):
        await innkeeper.post(f"machines/{system_id}/", op="forget", headers=ASYNC)
    await eventually(lambda: is_count(innkeeper, "machine", 0))
    assert (guests(innkeeper), volumes(innkeeper), (await refresh(innkeeper, host))["used"]) == before
    assert markers(innkeeper) == {"foreign-0001": None, "web": None}
    assert {of_machine for of_machine, *_ in await claims(innkeeper)} == {False}
    assert await detached(innkeeper) == []
    assert "unknown_marker_found" not in await kinds_of_events(innkeeper)
    assert len(await adopt(innkeeper, host, all="true")) == 2


async def test_forgetting_a_missing_machine_deletes_it(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    (adopted,) = await adopt(innkeeper, host, guests="foreign-0001")
    rows(innkeeper, "delete from guest")
    await refresh(innkeeper, host)
    path = f"machines/{adopted['system_id']}/"
    assert (await innkeeper.get(path))["status_name"] == "Missing"
    assert (await innkeeper.api.send("POST", path, query=[("op", "forget")])).status == 204
    with pytest.raises(NotFound):
        await innkeeper.get(path)
    assert await claims(innkeeper) == []


async def test_forgotten_machines_are_listed_until_adopted_again(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=2)
    adopted = [(await adopt(innkeeper, host, guests=f"foreign-000{n}", hostname=f"web-{n}"))[0] for n in (1, 2)]
    for one in adopted:  # one after the other: they are listed in the order in which they were forgotten
        assert await innkeeper.ended(await innkeeper.begin(f"machines/{one['system_id']}/", op="forget")) == "succeeded"
    first, second = await innkeeper.get("machines/", op="forgotten")
    assert (first["system_id"], first["hostname"], first["host"]) == (adopted[0]["system_id"], "web-1", "sim")
    assert (first["guest"], first["username"], second["guest"]) == ("foreign-0001", "admin", "foreign-0002")
    assert first["forgotten_at"] <= second["forgotten_at"]
    again = await innkeeper.post(f"virtual-machines/{first['virtual_machine']}", op="adopt")
    assert again["hostname"] == "foreign-0001"
    assert await innkeeper.get("machines/", op="forgotten") == [second]
    rows(innkeeper, "delete from guest where name = 'foreign-0002'")
    await refresh(innkeeper, host)
    assert await innkeeper.get("machines/", op="forgotten") == [{**second, "virtual_machine": None}]


async def test_unknown_guests_and_machines_answer_404(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as innkeeper:
        for path, op in (("machines/absent/", "forget"), ("vm-hosts/7/", "adopt"), ("virtual-machines/7", "adopt")):
            with pytest.raises(NotFound):
                await innkeeper.post(path, op=op)


async def test_adding_a_host_again_restores_its_machines(innkeeper: Deployment) -> None:
    await innkeeper.post("resourcepools/", name="web")
    host = await innkeeper.add_simulated(guests=2, pools=2)
    await innkeeper.compose(
        host["id"], hostname="web", pool="web", storage="root:5,data:3(fast)", power_on="true",
        interfaces="eth0:ip=192.168.122.20",
    )  # fmt: skip
    await adopt(innkeeper, host, guests="foreign-0001")
    before = {machine["system_id"]: machine for machine in await innkeeper.get("machines/")}
    unchanged, used = guests(innkeeper), (await refresh(innkeeper, host))["used"]
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    stored = {machine["system_id"]: machine for machine in await detached(innkeeper)}
    assert stored.keys() == before.keys()
    restorable = next(machine for machine in stored.values() if machine["hostname"] == "web")
    assert (restorable["host"], restorable["pool"], restorable["adopted"]) == ("sim", "web", False)
    assert len(restorable["disks"]) == 2
    again = await innkeeper.add_simulated(guests=2, pools=2)
    after = {machine["system_id"]: machine for machine in await innkeeper.get("machines/")}
    assert after.keys() == before.keys()
    for system_id, machine in after.items():
        same = (
            "hostname", "hardware_uuid", "status_name", "power_state", "pool", "tag_names", "storage", "memory",
            "ip_addresses",
        )  # fmt: skip
        assert {name: machine[name] for name in same} == {name: before[system_id][name] for name in same}
        assert machine["pod"]["id"] == again["id"]
        assert [nic["mac_address"] for nic in machine["interface_set"]] == [
            nic["mac_address"] for nic in before[system_id]["interface_set"]
        ]
    assert guests(innkeeper) == unchanged
    assert (await refresh(innkeeper, again))["used"] == used
    assert await detached(innkeeper) == []
    events = await kinds_of_events(innkeeper)
    assert events.count("machine_restored") == 2
    assert "unknown_marker_found" not in events


async def test_a_restored_machine_loses_a_name_and_address_in_use(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    fields = {"hostname": "wanted", "interfaces": "eth0:ip=192.168.122.20"}
    machine = await innkeeper.compose(host["id"], **fields)
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    other = await innkeeper.add_simulated("other")
    await innkeeper.compose(other["id"], **fields)
    await innkeeper.add_simulated()
    restored = await innkeeper.get(f"machines/{machine['system_id']}/")
    assert (restored["hostname"], restored["ip_addresses"]) == (f"wanted-{machine['system_id']}", [])
    events = await innkeeper.region.components.services.events.list()
    assert any("192.168.122.20" in event.message for event in events if event.kind == "machine_restored")
    await innkeeper.post(f"machines/{machine['system_id']}/", op="power_on")


async def test_a_host_that_shared_the_server_restores_no_machines(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    sharing = await innkeeper.add_simulated(host_name="two", shared=1)
    machine = await innkeeper.compose(host["id"], hostname="detached")
    before = [amounts for _, *amounts in await claims(innkeeper)]
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    assert [amounts for _, *amounts in await claims(innkeeper)] == before, "the guest still claims, before any refresh"
    await refresh(innkeeper, sharing)
    assert [amounts for _, *amounts in await claims(innkeeper)] == before
    assert await innkeeper.get("machines/") == []
    assert [one["hostname"] for one in await detached(innkeeper)] == ["detached"]
    (adopted,) = await adopt(innkeeper, sharing, guests="detached")
    assert adopted["system_id"] == machine["system_id"], "adoption restores the detached machine"
    assert await detached(innkeeper) == []
