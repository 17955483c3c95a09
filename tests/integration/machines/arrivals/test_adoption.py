"""Adoption in a whole deployment: guests are not changed, and their claims become the machine's."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from common.errors import InvalidRequest, NotFound
from tests.deployment.deployment import Deployment
from tests.integration.support import tables
from tests.integration.support.adoption import (
    ASYNC,
    adopt,
    claims,
    guests,
    kinds_of_events,
    markers,
    reached,
    refresh,
    rows,
    volumes,
)
from tests.integration.support.tables import is_count
from tests.support.clock import in_no_time
from tests.support.rejections import invalid_fields
from tests.support.waiting import eventually


def rename(innkeeper: Deployment, old: str, new: str) -> None:
    rows(innkeeper, "update guest set name = ? where name = ?", new, old)


async def test_a_guest_becomes_a_machine_as_it_is(innkeeper: Deployment) -> None:
    await innkeeper.post("zones/", name="dmz")
    await innkeeper.post("resourcepools/", name="web")
    host = await innkeeper.add_simulated(guests=2)
    host = await innkeeper.put(f"vm-hosts/{host['id']}/", zone="dmz", pool="web")
    before = guests(innkeeper), volumes(innkeeper), host["used"]
    (adopted,) = await adopt(innkeeper, host, guests="foreign-0001")
    assert (adopted["guest"], adopted["operation"]["state"], adopted["rejected"]) == (
        "foreign-0001",
        "succeeded",
        None,
    )
    machine = await innkeeper.get(f"machines/{adopted['system_id']}/")
    assert (machine["hostname"], machine["status_name"], machine["power_state"]) == ("foreign-0001", "Deployed", "on")
    assert (machine["zone"]["name"], machine["pool"]["name"]) == ("dmz", "web")
    assert (machine["cpu_count"], machine["memory"], machine["pod"]["id"]) == (1, 1024, host["id"])
    (disk,) = machine["blockdevice_set"]
    assert (disk["size"], disk["storage_pool"], disk["id_path"]) == (10**9, "default", None)
    assert markers(innkeeper) == {"foreign-0001": machine["hardware_uuid"], "foreign-0002": None}
    for _ in range(2):
        host = await refresh(innkeeper, host)
        assert (guests(innkeeper), volumes(innkeeper), host["used"]) == before
        assert await claims(innkeeper) == [
            (of_machine, resource, amount)
            for of_machine in (False, True)
            for resource, amount in (("cores", 1), ("memory_mib", 1024), ("storage_bytes", 10**9))
        ]
    assert "machine_adopted" in await kinds_of_events(innkeeper)


async def test_nics_of_an_adopted_machine_show_their_network(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(networks="dmz:10.1.0.0/24:100")
    composed = await innkeeper.compose(host["id"], hostname="web", interfaces="eth0:vid=100")
    await innkeeper.api.send("POST", f"machines/{composed['system_id']}/", query=[("op", "forget")])
    (adopted,) = await adopt(innkeeper, host, guests="web")
    (nic,) = (await innkeeper.get(f"machines/{adopted['system_id']}/"))["interface_set"]
    (subnet,) = [one for one in await innkeeper.get("subnets/") if one["cidr"] == "10.1.0.0/24"]
    assert nic["vlan"] == subnet["vlan"]


async def test_adopting_all_guests_opens_an_operation_each_and_is_idempotent(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=5, cores=2)
    adopted = await adopt(innkeeper, host, all="true")
    assert len({one["operation"]["id"] for one in adopted}) == 5
    assert {one["operation"]["state"] for one in adopted} == {"succeeded"}
    assert len(await innkeeper.get("machines/")) == 5
    assert (await refresh(innkeeper, host))["used"]["cores"] == 5, "the guests already used five of two cores"
    assert await adopt(innkeeper, host, all="true") == []
    (again,) = await adopt(innkeeper, host, guests="foreign-0003")
    assert (again["operation"], again["system_id"]) == (None, adopted[2]["system_id"])


async def test_guest_names_become_host_names_or_are_rejected_as_taken(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=3)
    for number, name in enumerate(("My VM_1.example", "taken", "my-vm-1-example"), start=1):
        rename(innkeeper, f"foreign-000{number}", name)
    await innkeeper.compose(host["id"], hostname="taken-by-us", cores=1)
    rename(innkeeper, "taken", "Taken-By-Us")
    await refresh(innkeeper, host)
    (message,) = (await invalid_fields(adopt(innkeeper, host, guests="Taken-By-Us")))["guests"]
    assert "another machine or device is named taken-by-us" in message
    assert [*await invalid_fields(adopt(innkeeper, host, guests="Taken-By-Us", hostname="taken-by-us"))] == ["hostname"]
    found = {one["guest"]: one for one in await adopt(innkeeper, host, all="true")}
    assert found["My VM_1.example"]["hostname"] == "my-vm-1-example"
    for name in ("Taken-By-Us", "my-vm-1-example"):
        assert "another machine or device is named" in found[name]["rejected"]
        assert found[name]["operation"] is None
    (adopted,) = await adopt(innkeeper, host, guests="Taken-By-Us", hostname="Other")
    assert adopted["hostname"] == "other"
    assert "Taken-By-Us" in innkeeper.simulated_guests(), "the guest keeps its own name"
    await innkeeper.post(f"machines/{adopted['system_id']}/", op="power_off")
    await refresh(innkeeper, host)
    machine = await innkeeper.get(f"machines/{adopted['system_id']}/")
    assert (machine["power_state"], machine["status_name"]) == ("off", "Deployed")


async def test_bad_requests_adopt_nothing(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=2)
    for fields, field in [
        ({}, "guests"),
        ({"guests": "foreign-0001", "all": "true"}, "guests"),
        ({"guests": "unknown"}, "guests"),
        ({"all": "true", "hostname": "web"}, "hostname"),
        ({"guests": "foreign-0001", "hostname": "-bad-"}, "hostname"),
        ({"guests": "foreign-0001", "hostname": "two.labels"}, "hostname"),
    ]:
        assert [*await invalid_fields(adopt(innkeeper, host, **dict[str, Any](fields)))] == [field], fields
    assert await innkeeper.get("machines/") == []
    assert set(markers(innkeeper).values()) == {None}


async def test_a_guest_of_another_installation_is_not_adopted(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    foreign_marker = str(uuid4()), str(uuid4())
    rows(innkeeper, "update guest set installation_id = ?, machine_id = ?", *foreign_marker)
    await refresh(innkeeper, host)
    (message,) = (await invalid_fields(adopt(innkeeper, host, guests="foreign-0001")))["guests"]
    assert f"marker of installation {foreign_marker[0]}" in message
    assert markers(innkeeper) == {"foreign-0001": foreign_marker[1]}


async def test_the_uuid_of_an_unknown_marker_is_preserved(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    ((installation_id,),) = await tables.rows(innkeeper, "select id from installation")
    unknown = str(uuid4())
    rows(innkeeper, "update guest set installation_id = ?, machine_id = ?", str(installation_id), unknown)
    await refresh(innkeeper, host)
    assert "unknown_marker_found" in await kinds_of_events(innkeeper)
    (adopted,) = await adopt(innkeeper, host, guests="foreign-0001")
    assert (await innkeeper.get(f"machines/{adopted['system_id']}/"))["hardware_uuid"] == unknown


async def test_a_virtual_machine_is_adopted_by_its_own_address(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(guests=1)
    (guest,) = await innkeeper.get("virtual-machines/")
    machine = await innkeeper.post(f"virtual-machines/{guest['id']}", op="adopt", hostname="mine")
    assert (machine["hostname"], machine["virtualmachine_id"]) == ("mine", guest["id"])
    assert machine["guest_name"] == guest["identifier"]
    assert {disk["storage_pool_name"] for disk in machine["blockdevice_set"]} == {"default"}
    (host,) = await innkeeper.get("vm-hosts/")
    assert host["address"].startswith("simulated:")
    again = await innkeeper.post(f"virtual-machines/{guest['id']}", op="adopt")
    assert again["system_id"] == machine["system_id"]
    foreign, (listed,) = [
        (await innkeeper.api.send("GET", "virtual-machines/", query=[("foreign", wanted)])).json()
        for wanted in ("true", "false")
    ]
    assert (listed["system_id"], listed["hostname"], listed["host_name"]) == (machine["system_id"], "mine", "sim")
    assert (guest["system_id"], guest["hostname"], guest["cpu_count"]) == (None, None, 1)
    assert foreign == []


async def test_virtual_machines_are_listed_by_host(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(guests=2)
    await innkeeper.add_simulated(name="other", guests=1)

    async def of(host: str) -> list[str]:
        answer = await innkeeper.api.send("GET", "virtual-machines/", query=[("host", host)])
        return [guest["host_name"] for guest in answer.json()]

    assert (await of("sim"), await of("other")) == (["sim", "sim"], ["other"])
    with pytest.raises(InvalidRequest) as rejected:
        await of("nowhere")
    assert rejected.value.fields["host"][0].startswith("There is no VM host 'nowhere'")


async def test_adopting_a_machine_again_renames_it_or_says_why_not(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=2)
    with innkeeper.held("add marker"):
        operation = await adopt(innkeeper, host, guests="foreign-0001", headers=ASYNC)
        await reached(innkeeper, operation, "write_marker")
        (message,) = (await invalid_fields(adopt(innkeeper, host, guests="foreign-0001", hostname="web")))["hostname"]
        assert f"is being adopted as foreign-0001 (operation {operation['id']})" in message
        assert f"machine update {operation['system_id']} hostname=web" in message
    await reached(innkeeper, operation, "succeeded")
    (renamed,) = await adopt(innkeeper, host, guests="foreign-0001", hostname="Web")
    assert (renamed["hostname"], renamed["operation"], renamed["rejected"]) == ("web", None, None)
    assert (await innkeeper.get(f"machines/{renamed['system_id']}/"))["hostname"] == "web"
    await adopt(innkeeper, host, guests="foreign-0002")
    rejected = await invalid_fields(adopt(innkeeper, host, guests="foreign-0002", hostname="web"))
    assert rejected == {"hostname": ['Node with hostname "web" already exists']}
    assert [machine["hostname"] for machine in await innkeeper.get("machines/")] == ["web", "foreign-0002"]
    assert [*markers(innkeeper)] == ["foreign-0001", "foreign-0002"], "the guests keep their own names"


async def test_concurrent_adoptions_of_one_guest_create_one_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1, delay_ms=30)
    answers = await asyncio.gather(*(adopt(innkeeper, host, guests="foreign-0001") for _ in range(6)))
    assert len({one["system_id"] for (one,) in answers}) == 1
    assert len(await innkeeper.get("machines/")) == 1


async def test_adoption_during_refreshes_never_counts_claims_twice(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=6, cores=8, delay_ms=5)
    refreshes = [asyncio.create_task(refresh(innkeeper, host)) for _ in range(4)]
    adopted = await adopt(innkeeper, host, all="true")
    forgotten = [innkeeper.post(f"machines/{one['system_id']}/", op="forget", headers=ASYNC) for one in adopted[:3]]
    await asyncio.gather(*refreshes, *forgotten, *(refresh(innkeeper, host) for _ in range(3)))
    await eventually(lambda: is_count(innkeeper, "machine", 3))
    assert (await refresh(innkeeper, host))["used"]["cores"] == 6
    assert [amount for _, resource, amount in await claims(innkeeper) if resource == "cores"] == [3, 3]
    assert sum(marker is not None for marker in markers(innkeeper).values()) == 3


async def test_an_adoption_that_fails_leaves_the_guest_foreign(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    rows(innkeeper, "delete from guest")
    with pytest.raises(NotFound, match="foreign-0001"):
        await adopt(innkeeper, host, guests="foreign-0001")
    assert await innkeeper.get("machines/") == []
    assert "adopt_failed" in await kinds_of_events(innkeeper)
    assert (await refresh(innkeeper, host))["used"]["cores"] == 0


async def test_a_cancelled_adoption_removes_the_marker(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    with innkeeper.held("add marker"):
        operation = await adopt(innkeeper, host, guests="foreign-0001", headers=ASYNC)
        await reached(innkeeper, operation, "write_marker")
        await innkeeper.cancel(operation["id"])
    ended = await reached(innkeeper, operation, "cancelled")
    assert ended["undone"] == ["marker removed from the guest", "machine record removed"]
    assert markers(innkeeper) == {"foreign-0001": None}
    assert (await refresh(innkeeper, host))["used"]["cores"] == 1
    assert await innkeeper.get("machines/") == []


async def test_an_adoption_continues_through_a_restarted_rack(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    with innkeeper.held("add marker"):
        operation = await adopt(innkeeper, host, guests="foreign-0001", headers=ASYNC)
        await reached(innkeeper, operation, "write_marker")
        await in_no_time(innkeeper.stop_rack("rack"))  # it waits for its calls
        assert (await innkeeper.get("machines/"))[0]["status_name"] == "Commissioning"
    await innkeeper.start_rack()
    await reached(innkeeper, operation, "succeeded")
    (machine,) = await innkeeper.get("machines/")
    assert (machine["status_name"], machine["power_state"]) == ("Deployed", "on")
    assert (await refresh(innkeeper, host))["used"]["cores"] == 1


async def test_an_adopted_machine_is_deleted_without_its_disks(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    (adopted,) = await adopt(innkeeper, host, guests="foreign-0001")
    before = volumes(innkeeper)
    await innkeeper.delete(f"machines/{adopted['system_id']}/")
    assert (innkeeper.simulated_guests(), volumes(innkeeper)) == ([], before)


async def test_an_id_takes_precedence_over_a_guest_of_that_name(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=2)
    first, second = await innkeeper.get("virtual-machines/")
    rows(innkeeper, "update guest set name = ? where name = ?", str(first["id"]), second["identifier"])
    await refresh(innkeeper, host)
    await innkeeper.post(f"virtual-machines/{first['id']}", op="adopt", hostname="addressed")
    assert [name for name, machine in markers(innkeeper).items() if machine] == [first["identifier"]]
