"""Hosts that are removed from a whole installation, with their machines or without, whatever else is under way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, NotFound
from tests.installation import Installation, installed
from tests.integration.tables import count
from tests.waiting import eventually


async def ended(innkeeper: Installation, operation_id: int) -> Any:
    async def look() -> Any:
        operation = await innkeeper.get(f"operations/{operation_id}/")
        return operation if operation["state"] in ("succeeded", "failed", "cancelled") else None

    return await eventually(look)


async def remove(innkeeper: Installation, host_id: int, *, decompose: bool = False) -> Any:
    """The operation, just begun."""
    return (
        await innkeeper.api.send(
            "DELETE",
            f"vm-hosts/{host_id}/",
            query=[("decompose", str(decompose).lower())],
            headers={"Prefer": "respond-async"},
        )
    ).json()


async def test_a_removed_host_leaves_its_guests_running_and_no_row_behind(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)
        await innkeeper.compose(host["id"], hostname="kept")
        assert (await innkeeper.delete(f"vm-hosts/{host['id']}/")).status == 204
        assert innkeeper.simulated_guests() == ["foreign-0001", "kept"]
        for table in ("vm_host", "server", "machine", "guest", "claim", "storage_pool", "secret", "machine_disk"):
            assert await count(innkeeper, table) == 0, table
        with pytest.raises(NotFound):
            await innkeeper.get(f"vm-hosts/{host['id']}/")
        (operation, *_) = await innkeeper.get("operations/")
        assert (operation["kind"], operation["state"]) == ("remove_host", "succeeded")


async def test_a_host_added_again_finds_its_old_guests_and_leaves_them_alone(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.compose(host["id"], cores=2, hostname="kept")
        await innkeeper.delete(f"vm-hosts/{host['id']}/")
        again = await innkeeper.add_simulated()
        assert again["used"]["cores"] == 2
        await innkeeper.post(f"vm-hosts/{again['id']}/", op="refresh")
        assert innkeeper.simulated_guests() == ["kept"]


async def test_decompose_destroys_our_machines_each_by_an_operation_and_no_other_guest(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1, cores=8)
        made = [await innkeeper.compose(host["id"], cores=1, memory=1024) for _ in range(3)]
        assert (await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true")).status == 204
        assert innkeeper.simulated_guests() == ["foreign-0001"]
        assert await innkeeper.get("machines/") == []
        operations = await innkeeper.get("operations/")
        deleted = {one["system_id"] for one in operations if one["kind"] == "delete" and one["state"] == "succeeded"}
        assert deleted == {one["system_id"] for one in made}
        assert await count(innkeeper, "tombstone") == 3


async def test_a_decompose_that_fails_keeps_the_host_and_names_the_machine(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        path = f"vm-hosts/{host['id']}/"
        await innkeeper.compose(host["id"], hostname="stubborn")
        address = (await innkeeper.get(path, op="parameters"))["power_address"]
        await innkeeper.put(path, power_address=address.replace("fault_rate=0", "fault_rate=1"))
        operation = await ended(innkeeper, (await remove(innkeeper, host["id"], decompose=True))["id"])
        assert (operation["state"], operation["error"]["code"]) == ("failed", "driver_failed")
        assert "1 machines could not be destroyed" in operation["error"]["message"]
        assert "stubborn: " in operation["error"]["message"]
        assert innkeeper.simulated_guests() == ["stubborn"]
        await innkeeper.put(path, power_address=address)
        (machine,) = await innkeeper.get("machines/")
        assert (machine["hostname"], machine["status_name"]) == ("stubborn", "Ready")
        await innkeeper.compose(host["id"], cores=1, memory=1024)
        assert (await innkeeper.delete(path, decompose="true")).status == 204
        assert innkeeper.simulated_guests() == []


async def test_a_removal_waits_for_the_compose_that_is_under_way(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        with innkeeper.held("make volume"):
            composing = asyncio.create_task(innkeeper.compose(host["id"], hostname="late"))
            await eventually(lambda: count(innkeeper, "machine"))
            removal = await remove(innkeeper, host["id"])
            with pytest.raises(InnkeeperError, match="removed"):
                await innkeeper.compose(host["id"])
        await composing
        assert (await ended(innkeeper, removal["id"]))["state"] == "succeeded"
        assert innkeeper.simulated_guests() == ["late"]
        assert await count(innkeeper, "claim") == 0


async def test_a_removal_with_decompose_destroys_what_is_being_composed_too(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=8)
        await innkeeper.compose(host["id"], hostname="first", cores=1)
        with innkeeper.held("make volume"):
            composing = asyncio.create_task(innkeeper.compose(host["id"], hostname="second", cores=1))
            await eventually(lambda: _machines(innkeeper, 2))
            removal = await remove(innkeeper, host["id"], decompose=True)
        await composing
        assert (await ended(innkeeper, removal["id"]))["state"] == "succeeded"
        assert innkeeper.simulated_guests() == []


async def test_composes_and_a_removal_at_once_leave_no_machine_without_a_host(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=64, memory_mib=65536, storage_gb=1000)

        async def one() -> int:
            try:
                await innkeeper.compose(host["id"], cores=1, memory=1024)
            except InnkeeperError as error:
                return int(error.details["status"])
            return 200

        made = asyncio.gather(*(one() for _ in range(12)))
        removal = await remove(innkeeper, host["id"], decompose=True)
        assert 500 not in await made
        operation = await ended(innkeeper, removal["id"])
        assert operation["state"] == "succeeded", operation["error"]
        assert innkeeper.simulated_guests() == []
        assert await count(innkeeper, "machine") == 0


async def test_many_who_remove_a_host_at_once_share_one_operation(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.compose(host["id"])
        with innkeeper.held():
            removals = await asyncio.gather(*(remove(innkeeper, host["id"], decompose=True) for _ in range(5)))
            assert len({one["id"] for one in removals}) == 1
            with pytest.raises(InnkeeperError, match="being removed with its machines already"):
                await remove(innkeeper, host["id"], decompose=False)
        assert (await ended(innkeeper, removals[0]["id"]))["state"] == "succeeded"


async def test_a_host_that_is_removed_during_a_refresh_leaves_nothing(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=2)
        with innkeeper.held():
            refreshing = asyncio.create_task(innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh"))
            await eventually(lambda: _step(innkeeper, "discover"))
            removal = await remove(innkeeper, host["id"])
            assert (await ended(innkeeper, removal["id"]))["state"] == "succeeded"
        with pytest.raises(NotFound):
            await refreshing
        for table in ("vm_host", "server", "guest", "claim"):
            assert await count(innkeeper, table) == 0, table
        assert (await innkeeper.add_simulated(guests=2))["used"]["cores"] == 2


async def test_refreshes_and_removals_at_once_never_meet_a_bug(tmp_path: Path, database_url: str) -> None:
    """Both hosts are on one server; each round, one is refreshed again and again while the other is removed."""
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        kept = await innkeeper.add_simulated(guests=3)
        for _ in range(4):
            other = await innkeeper.add_simulated(delay_ms=1)
            refreshes = [
                asyncio.create_task(innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh"))
                for host in (kept, other, kept, other)
            ]
            await innkeeper.delete(f"vm-hosts/{other['id']}/")
            outcomes = await asyncio.gather(*refreshes, return_exceptions=True)
            assert all(isinstance(one, dict | NotFound) for one in outcomes), outcomes
        assert (await innkeeper.get(f"vm-hosts/{kept['id']}/"))["used"]["cores"] == 3
        codes = {operation["error"]["code"] for operation in await innkeeper.get("operations/") if operation["error"]}
        assert codes <= {"not_found"}


async def _machines(innkeeper: Installation, wanted: int) -> bool:
    return await count(innkeeper, "machine") == wanted


async def _step(innkeeper: Installation, step: str) -> bool:
    async with innkeeper.region.parts.database.connection() as db:
        return bool(await db.fetchval("select 1 from operation where state = 'running' and step = $1", step))
