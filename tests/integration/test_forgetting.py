"""Machines that are forgotten by hand or with their host: the guests run on, and come back as what they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import NotFound
from tests.installation import installed
from tests.integration.adopting import (
    ASYNC,
    adopt,
    claims,
    forgotten,
    guests,
    kinds_of_events,
    marks,
    refresh,
    rows,
    volumes,
)
from tests.waiting import eventually

# Forgetting ----------------------------------------------------------------------------------------------------------


async def test_a_forgotten_machine_is_a_foreign_guest_that_runs_on(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)
        made = await innkeeper.compose(host["id"], hostname="made", cores=2, power_on="true")
        (adopted,) = await adopt(innkeeper, host, guests="foreign-0001")
        before = guests(innkeeper), volumes(innkeeper), (await refresh(innkeeper, host))["used"]
        for system_id in (made["system_id"], adopted["system_id"]):
            await innkeeper.post(f"machines/{system_id}/", op="forget", headers=ASYNC)

        async def none_is_left() -> bool:
            return bool(await innkeeper.get("machines/") == [])

        await eventually(none_is_left)
        assert (guests(innkeeper), volumes(innkeeper), (await refresh(innkeeper, host))["used"]) == before
        assert marks(innkeeper) == {"foreign-0001": None, "made": None}
        assert {of_machine for of_machine, *_ in await claims(innkeeper)} == {False}
        assert await forgotten(innkeeper) == []
        assert "unknown_marked_guest_found" not in await kinds_of_events(innkeeper)
        assert len(await adopt(innkeeper, host, all="true")) == 2


async def test_a_missing_machine_can_be_forgotten(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
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


async def test_what_is_not_there_is_neither_adopted_nor_forgotten(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        for path, op in (("machines/absent/", "forget"), ("vm-hosts/7/", "adopt"), ("virtual-machines/7", "adopt")):
            with pytest.raises(NotFound):
                await innkeeper.post(path, op=op)


# Hosts that are removed and added again ------------------------------------------------------------------------------


async def test_machines_come_back_with_their_host(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await innkeeper.post("resourcepools/", name="web")
        host = await innkeeper.add_simulated(guests=2, pools=2)
        await innkeeper.compose(
            host["id"], hostname="made", pool="web", storage="root:5,data:3(fast)", power_on="true",
            interfaces="eth0:ip=192.168.122.20",
        )  # fmt: skip
        await adopt(innkeeper, host, guests="foreign-0001")
        before = {machine["system_id"]: machine for machine in await innkeeper.get("machines/")}
        really, used = guests(innkeeper), (await refresh(innkeeper, host))["used"]
        await innkeeper.delete(f"vm-hosts/{host['id']}/")
        kept = {machine["system_id"]: machine for machine in await forgotten(innkeeper)}
        assert kept.keys() == before.keys()
        made = next(machine for machine in kept.values() if machine["hostname"] == "made")
        assert (made["host"], made["pool"], made["adopted"], len(made["disks"])) == ("sim", "web", False, 2)
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
        assert guests(innkeeper) == really
        assert (await refresh(innkeeper, again))["used"] == used
        assert await forgotten(innkeeper) == []
        told = await kinds_of_events(innkeeper)
        assert told.count("machine_restored") == 2
        assert "unknown_marked_guest_found" not in told


async def test_a_machine_whose_name_and_address_were_taken_meanwhile_comes_back_without_them(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        wanted = {"hostname": "wanted", "interfaces": "eth0:ip=192.168.122.20"}
        machine = await innkeeper.compose(host["id"], **wanted)
        await innkeeper.delete(f"vm-hosts/{host['id']}/")
        other = await innkeeper.add_simulated("other")
        await innkeeper.compose(other["id"], **wanted)
        await innkeeper.add_simulated()
        back = await innkeeper.get(f"machines/{machine['system_id']}/")
        assert (back["hostname"], back["ip_addresses"]) == (f"wanted-{machine['system_id']}", [])
        events = await innkeeper.region.parts.events.list()
        assert any("192.168.122.20" in event.message for event in events if event.kind == "machine_restored")
        await innkeeper.post(f"machines/{machine['system_id']}/", op="power_on")


async def test_a_host_that_shared_the_server_does_not_take_over_what_was_forgotten(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        stays = await innkeeper.add_simulated(delay_ms=1)
        machine = await innkeeper.compose(host["id"], hostname="mine")
        before = [amounts for _, *amounts in await claims(innkeeper)]
        await innkeeper.region.parts.schedule.stop()
        await innkeeper.delete(f"vm-hosts/{host['id']}/")
        assert [amounts for _, *amounts in await claims(innkeeper)] == before, "it runs on, and takes room at once"
        await refresh(innkeeper, stays)
        assert [amounts for _, *amounts in await claims(innkeeper)] == before
        assert await innkeeper.get("machines/") == []
        assert [one["hostname"] for one in await forgotten(innkeeper)] == ["mine"]
        (adopted,) = await adopt(innkeeper, stays, guests="mine")
        assert adopted["system_id"] == machine["system_id"], "asked for, it comes back as what it was"
        assert await forgotten(innkeeper) == []
