"""Adopting in a whole installation, on simulated hosts: guests stay as they are, claims change hands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from common.errors import InvalidRequest, NotFound
from tests.installation import Installation, installed
from tests.integration.adopting import ASYNC, adopt, claims, guests, kinds_of_events, marks, refresh, rows, volumes
from tests.waiting import eventually


def rename(innkeeper: Installation, old: str, new: str) -> None:
    rows(innkeeper, "update guest set name = ? where name = ?", new, old)


async def test_a_guest_becomes_a_machine_as_it_is(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await innkeeper.post("zones/", name="dmz")
        await innkeeper.post("resourcepools/", name="web")
        host = await innkeeper.add_simulated(guests=2)
        host = await innkeeper.put(f"vm-hosts/{host['id']}/", zone="dmz", pool="web")
        before = guests(innkeeper), volumes(innkeeper), host["used"]
        (adopted,) = await adopt(innkeeper, host, guests="foreign-0001")
        assert (adopted["guest"], adopted["operation"]["state"], adopted["refused"]) == (
            "foreign-0001",
            "succeeded",
            None,
        )
        machine = await innkeeper.get(f"machines/{adopted['system_id']}/")
        assert (machine["hostname"], machine["status_name"], machine["power_state"]) == ("foreign-0001", "Ready", "on")
        assert (machine["zone"]["name"], machine["pool"]["name"]) == ("dmz", "web")
        assert (machine["cpu_count"], machine["memory"], machine["pod"]["id"]) == (1, 1024, host["id"])
        (disk,) = machine["blockdevice_set"]
        assert (disk["size"], disk["storage_pool"], disk["id_path"]) == (10**9, "default", None)
        assert marks(innkeeper) == {"foreign-0001": machine["hardware_uuid"], "foreign-0002": None}
        for _ in range(2):
            host = await refresh(innkeeper, host)
            assert (guests(innkeeper), volumes(innkeeper), host["used"]) == before
            assert await claims(innkeeper) == [
                (of_machine, resource, amount)
                for of_machine in (False, True)
                for resource, amount in (("cores", 1), ("memory_mib", 1024), ("storage_bytes", 10**9))
            ]
        assert "machine_adopted" in await kinds_of_events(innkeeper)


async def test_the_cards_of_an_adopted_machine_show_what_is_known_of_their_network(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(networks="dmz:10.1.0.0/24:100")
        made = await innkeeper.compose(host["id"], hostname="web", interfaces="eth0:vid=100")
        await innkeeper.api.send("POST", f"machines/{made['system_id']}/", query=[("op", "forget")])
        (adopted,) = await adopt(innkeeper, host, guests="web")
        (card,) = (await innkeeper.get(f"machines/{adopted['system_id']}/"))["interface_set"]
        (subnet,) = [one for one in await innkeeper.get("subnets/") if one["cidr"] == "10.1.0.0/24"]
        assert card["vlan"] == subnet["vlan"]


async def test_all_guests_of_a_host_are_adopted_each_by_an_operation_and_again_is_no_error(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=5, cores=2)
        adopted = await adopt(innkeeper, host, all="true")
        assert len({one["operation"]["id"] for one in adopted}) == 5
        assert {one["operation"]["state"] for one in adopted} == {"succeeded"}
        assert len(await innkeeper.get("machines/")) == 5
        assert (await refresh(innkeeper, host))["used"]["cores"] == 5, "five cores of two were there already"
        assert await adopt(innkeeper, host, all="true") == []
        (again,) = await adopt(innkeeper, host, guests="foreign-0003")
        assert (again["operation"], again["system_id"]) == (None, adopted[2]["system_id"])


async def test_names_are_made_legal_and_those_that_are_taken_are_refused(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=3)
        for number, name in enumerate(("My VM_1.example", "taken", "my-vm-1-example"), start=1):
            rename(innkeeper, f"foreign-000{number}", name)
        await innkeeper.compose(host["id"], hostname="taken-by-us", cores=1)
        rename(innkeeper, "taken", "Taken-By-Us")
        await refresh(innkeeper, host)
        with pytest.raises(InvalidRequest) as refused:
            await adopt(innkeeper, host, guests="Taken-By-Us")
        (message,) = refused.value.fields["guests"]
        assert "a machine named taken-by-us is there already" in message
        with pytest.raises(InvalidRequest) as refused:
            await adopt(innkeeper, host, guests="Taken-By-Us", hostname="taken-by-us")
        assert list(refused.value.fields) == ["hostname"]
        found = {one["guest"]: one for one in await adopt(innkeeper, host, all="true")}
        assert found["My VM_1.example"]["hostname"] == "my-vm-1-example"
        for name in ("Taken-By-Us", "my-vm-1-example"):
            assert "is there already" in found[name]["refused"]
            assert found[name]["operation"] is None
        (adopted,) = await adopt(innkeeper, host, guests="Taken-By-Us", hostname="Other")
        assert adopted["hostname"] == "other"
        assert "Taken-By-Us" in innkeeper.simulated_guests(), "the guest keeps its own name"
        await innkeeper.post(f"machines/{adopted['system_id']}/", op="power_off")
        await refresh(innkeeper, host)
        machine = await innkeeper.get(f"machines/{adopted['system_id']}/")
        assert (machine["power_state"], machine["status_name"]) == ("off", "Ready")


async def test_bad_requests_adopt_nothing(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=2)
        for fields, field in [
            ({}, "guests"),
            ({"guests": "foreign-0001", "all": "true"}, "guests"),
            ({"guests": "nobody"}, "guests"),
            ({"all": "true", "hostname": "web"}, "hostname"),
            ({"guests": "foreign-0001", "hostname": "-bad-"}, "hostname"),
            ({"guests": "foreign-0001", "hostname": "two.labels"}, "hostname"),
        ]:
            with pytest.raises(InvalidRequest) as refused:
                await adopt(innkeeper, host, **dict[str, Any](fields))
            assert list(refused.value.fields) == [field], fields
        assert await innkeeper.get("machines/") == []
        assert set(marks(innkeeper).values()) == {None}


async def test_a_guest_of_another_installation_is_left_to_it(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)
        theirs = str(uuid4()), str(uuid4())
        rows(innkeeper, "update guest set installation_id = ?, machine_id = ?", *theirs)
        await refresh(innkeeper, host)
        with pytest.raises(InvalidRequest) as refused:
            await adopt(innkeeper, host, guests="foreign-0001")
        (message,) = refused.value.fields["guests"]
        assert f"mark of another installation, {theirs[0]}" in message
        assert marks(innkeeper) == {"foreign-0001": theirs[1]}


async def test_a_mark_that_the_ledger_never_heard_of_is_kept(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)
        async with innkeeper.region.parts.database.connection() as db:
            installation_id = await db.fetchval("select id from installation")
        lost = str(uuid4())
        rows(innkeeper, "update guest set installation_id = ?, machine_id = ?", str(installation_id), lost)
        await refresh(innkeeper, host)
        assert "unknown_marked_guest_found" in await kinds_of_events(innkeeper)
        (adopted,) = await adopt(innkeeper, host, guests="foreign-0001")
        assert (await innkeeper.get(f"machines/{adopted['system_id']}/"))["hardware_uuid"] == lost


async def test_a_virtual_machine_is_adopted_by_its_own_address(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await innkeeper.add_simulated(guests=1)
        (guest,) = await innkeeper.get("virtual-machines/")
        machine = await innkeeper.post(f"virtual-machines/{guest['id']}", op="adopt", hostname="mine")
        assert (machine["hostname"], machine["virtualmachine_id"]) == ("mine", guest["id"])
        again = await innkeeper.post(f"virtual-machines/{guest['id']}", op="adopt")
        assert again["system_id"] == machine["system_id"]


async def test_many_who_adopt_one_guest_at_once_make_one_machine(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1, delay_ms=30)
        answers = await asyncio.gather(*(adopt(innkeeper, host, guests="foreign-0001") for _ in range(6)))
        assert len({one["system_id"] for (one,) in answers}) == 1
        assert len(await innkeeper.get("machines/")) == 1


async def test_adopting_while_the_host_is_refreshed_again_and_again_never_counts_twice(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=6, cores=8, delay_ms=5)
        looks = [asyncio.create_task(refresh(innkeeper, host)) for _ in range(4)]
        adopted = await adopt(innkeeper, host, all="true")
        forgets = [innkeeper.post(f"machines/{one['system_id']}/", op="forget", headers=ASYNC) for one in adopted[:3]]
        await asyncio.gather(*looks, *forgets, *(refresh(innkeeper, host) for _ in range(3)))

        async def three_are_left() -> bool:
            return len(await innkeeper.get("machines/")) == 3

        await eventually(three_are_left)
        assert (await refresh(innkeeper, host))["used"]["cores"] == 6
        assert [amount for _, resource, amount in await claims(innkeeper) if resource == "cores"] == [3, 3]
        assert sum(mark is not None for mark in marks(innkeeper).values()) == 3


async def test_an_adoption_that_fails_leaves_the_guest_foreign(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)
        rows(innkeeper, "delete from guest")
        with pytest.raises(NotFound, match="foreign-0001"):
            await adopt(innkeeper, host, guests="foreign-0001")
        assert await innkeeper.get("machines/") == []
        assert "adopt_failed" in await kinds_of_events(innkeeper)
        assert (await refresh(innkeeper, host))["used"]["cores"] == 0


async def test_a_cancelled_adoption_takes_the_mark_off_again(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)

        async def state(wanted: str) -> Any:
            found = await innkeeper.get(f"operations/{operation['id']}/")
            return found if wanted in (found["step"], found["state"]) else None

        with innkeeper.held("mark guest"):
            operation = await adopt(innkeeper, host, guests="foreign-0001", headers=ASYNC)
            await eventually(lambda: state("put_mark"))
            await innkeeper.post(f"operations/{operation['id']}/", op="cancel")
        ended = await eventually(lambda: state("cancelled"))
        assert ended["undone"] == ["mark taken off the guest", "machine record removed"]
        assert marks(innkeeper) == {"foreign-0001": None}
        assert (await refresh(innkeeper, host))["used"]["cores"] == 1
        assert await innkeeper.get("machines/") == []


async def test_an_adoption_goes_on_through_a_rack_that_comes_back(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)

        async def found() -> Any:
            return await innkeeper.get(f"operations/{operation['id']}/")

        async def is_marking() -> bool:
            return bool((await found())["step"] == "put_mark")

        async def has_ended() -> bool:
            return bool((await found())["state"] == "succeeded")

        with innkeeper.held("mark guest"):
            operation = await adopt(innkeeper, host, guests="foreign-0001", headers=ASYNC)
            await eventually(is_marking)
            await innkeeper.stop_rack("rack")
            assert (await innkeeper.get("machines/"))[0]["status_name"] == "Commissioning"
        await innkeeper.start_rack()
        await eventually(has_ended)
        (machine,) = await innkeeper.get("machines/")
        assert (machine["status_name"], machine["power_state"]) == ("Ready", "on")
        assert (await refresh(innkeeper, host))["used"]["cores"] == 1


async def test_an_adopted_machine_is_deleted_without_its_disks(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)
        (adopted,) = await adopt(innkeeper, host, guests="foreign-0001")
        before = volumes(innkeeper)
        await innkeeper.delete(f"machines/{adopted['system_id']}/")
        assert (innkeeper.simulated_guests(), volumes(innkeeper)) == ([], before)


async def test_an_id_means_the_guest_that_has_it_also_when_another_is_called_so(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=2)
        first, second = await innkeeper.get("virtual-machines/")
        rows(innkeeper, "update guest set name = ? where name = ?", str(first["id"]), second["identifier"])
        await refresh(innkeeper, host)
        await innkeeper.post(f"virtual-machines/{first['id']}", op="adopt", hostname="meant")
        assert [name for name, machine in marks(innkeeper).items() if machine] == [first["identifier"]]
