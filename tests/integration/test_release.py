"""Giving machines back, and what owners keep with them, over a whole installation with simulated hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest, NotAllowed, NotFound
from common.values import PowerAction
from regiond.machines import life_store
from tests.installation import Installation, installed
from tests.integration.users import as_user, own
from tests.waiting import eventually


async def machine(innkeeper: Installation, system_id: str) -> Any:
    return await innkeeper.get(f"machines/{system_id}/")


async def test_a_machine_that_was_there_is_switched_off_and_is_nobodys(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = (await innkeeper.compose(host["id"], power_on="true"))["system_id"]
        ann = await as_user(innkeeper, "ann")
        await own(innkeeper, made, "ann")
        path = f"machines/{made}/"
        told = await ann.post(path, op="set_owner_data", color="red", size="5")
        assert told["owner_data"] == {"color": "red", "size": "5"}
        assert (await ann.post(path, op="set_owner_data", color="", shape="round"))["owner_data"] == {
            "size": "5", "shape": "round",
        }  # fmt: skip
        assert [one["system_id"] for one in await ann.get("machines/", op="list_allocated")] == [made]
        assert await innkeeper.get("machines/", op="list_allocated") == []
        released = await ann.post(path, op="release", comment="done")
        assert (released["status_name"], released["power_state"], released["owner"]) == ("Ready", "off", None)
        assert (released["owner_data"], released["agent_name"]) == ({}, "")
        assert innkeeper.simulated_guests() == [released["hostname"]]
        again = await ann.post(path, op="release")
        assert again["status_name"] == "Ready"


async def test_what_allocation_composed_is_destroyed(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = (await innkeeper.compose(host["id"], power_on="true"))["system_id"]
        await own(innkeeper, made, "admin", by_allocate=True)
        with innkeeper.held("remove guest"):
            assert await innkeeper.post("machines/", op="release", machines=made) == [made]
            assert (await machine(innkeeper, made))["status_name"] == "Releasing"

        async def gone() -> bool:
            return not await innkeeper.get("machines/")

        await eventually(gone)
        assert innkeeper.simulated_guests() == []


async def test_who_may_release_what_and_when(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        mine, free = [(await innkeeper.compose(host["id"], memory=1024))["system_id"] for _ in range(2)]
        await own(innkeeper, mine, "admin")
        ann = await as_user(innkeeper, "ann")

        async def refused(asked: Installation, path: str, **fields: Any) -> int:
            with pytest.raises(InnkeeperError) as error:
                await asked.post(path, op="release", **fields)
            return int(error.value.details["status"])

        assert await refused(ann, f"machines/{mine}/") == 403
        assert await refused(ann, "machines/", machines=mine) == 403
        assert await refused(innkeeper, "machines/", machines="abcdef") == 400
        assert await refused(innkeeper, "machines/") == 400
        assert await ann.post("machines/", op="release", machines=free) == []
        with pytest.raises(InnkeeperError, match="Only the machine's owner"):
            await ann.post(f"machines/{mine}/", op="set_owner_data", a="b")
        await innkeeper.post(f"machines/{mine}/", op="power_on")
        with innkeeper.held("power"):
            assert await innkeeper.post("machines/", op="release", machines=mine) == [mine]
            assert await refused(innkeeper, "machines/", machines=mine) == 409
        released = await innkeeper.post(f"machines/{mine}/", op="release")  # waits for the one that is under way
        assert (released["status_name"], released["power_state"]) == ("Ready", "off")


async def test_broken_and_fixed_machines_keep_their_owner(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = (await innkeeper.compose(host["id"]))["system_id"]
        path = f"machines/{made}/"
        await own(innkeeper, made, "admin")
        broken = await innkeeper.post(path, op="mark_broken", comment="smells of smoke")
        assert (broken["status_name"], broken["status_message"], broken["owner"]) == (
            "Broken", "smells of smoke", "admin",
        )  # fmt: skip
        released = await innkeeper.post(path, op="release")
        assert (released["status_name"], released["owner"]) == ("Broken", None)
        fixed = await innkeeper.post(path, op="mark_fixed")
        assert (fixed["status_name"], fixed["status_message"]) == ("Ready", "")
        with pytest.raises(InnkeeperError, match="A machine that is Ready cannot be marked fixed") as refused:
            await innkeeper.post(path, op="mark_fixed")
        assert refused.value.details["status"] == 409


async def test_a_machine_is_changed_by_field(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.compose(host["id"], hostname="taken", memory=1024)
        made = (await innkeeper.compose(host["id"], hostname="before", memory=1024))["system_id"]
        await innkeeper.post("zones/", name="east")
        await innkeeper.post("resourcepools/", name="web")
        path = f"machines/{made}/"
        changed = await innkeeper.put(
            path, hostname="after", zone="east", pool="web", description="new", power_user="x"
        )
        told = (changed["hostname"], changed["zone"]["name"], changed["pool"]["name"], changed["description"])
        assert told == ("after", "east", "web", "new")
        assert (await innkeeper.put(path, hostname="after", zone="east"))["pool"]["name"] == "web"
        for fields in ({"hostname": "taken"}, {"zone": "nowhere"}, {"pool": "nowhere"}, {"hostname": "-x-"}):
            with pytest.raises(InvalidRequest) as refused:
                await innkeeper.put(path, **fields)
            assert list(refused.value.fields) == list(fields)
        with pytest.raises(InvalidRequest, match="machines in it"):
            await innkeeper.delete("resourcepool/web/")
        await innkeeper.post(path, op="power_on")  # its guest, under the name that it has, is still found
        assert innkeeper.simulated_guests() == ["before", "taken"]
        with pytest.raises(NotFound):
            await innkeeper.put("machines/abcdef/", hostname="x")


async def test_an_owner_deletes_only_what_was_composed_for_them(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = (await innkeeper.compose(host["id"], memory=1024))["system_id"]
        await as_user(innkeeper, "ann")
        services = innkeeper.region.parts.services
        ann = await services.accounts.user("ann")
        await own(innkeeper, made, "ann")
        with pytest.raises(NotAllowed, match="release it instead"):
            await services.machines.start_delete(ann, made)  # as RPC clients ask
        await own(innkeeper, made, "ann", by_allocate=True)
        operation = await services.machines.start_delete(ann, made)
        assert (await services.operations.wait(operation.id, timeout_s=60)).state == "succeeded"


async def test_what_owners_keep_comes_back_with_the_host(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        mine, free = [(await innkeeper.compose(host["id"], memory=1024))["system_id"] for _ in range(2)]
        await own(innkeeper, mine, "admin", by_allocate=True)
        await innkeeper.post(f"machines/{mine}/", op="set_owner_data", color="red")
        assert (await innkeeper.delete(f"vm-hosts/{host['id']}/")).status == 204
        assert await innkeeper.get("machines/") == []
        await innkeeper.add_simulated()
        back = {one["system_id"]: one for one in await innkeeper.get("machines/")}
        assert {system_id: one["status_name"] for system_id, one in back.items()} == {mine: "Allocated", free: "Ready"}
        assert (back[mine]["owner"], back[mine]["owner_data"]) == ("admin", {"color": "red"})
        await innkeeper.post(f"machines/{mine}/", op="release")
        assert len(innkeeper.simulated_guests()) == 1


async def test_who_asks_again_with_the_key_is_told_though_the_machine_is_gone(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        keyed = {"Idempotency-Key": "once", "Prefer": "respond-async"}
        deleted, released = [(await innkeeper.compose(host["id"], memory=1024))["system_id"] for _ in range(2)]
        await own(innkeeper, released, "admin", by_allocate=True)

        async def delete(headers: dict[str, str]) -> Any:
            return (await innkeeper.api.send("DELETE", f"machines/{deleted}/", headers=headers)).json()

        async def release(headers: dict[str, str]) -> Any:
            return await innkeeper.post(f"machines/{released}/", op="release", headers=headers)

        for ask, key in ((delete, "a"), (release, "b")):
            first = await ask(keyed | {"Idempotency-Key": key})

            async def has_ended(operation_id: int = first["id"]) -> bool:
                return bool((await innkeeper.get(f"operations/{operation_id}/"))["state"] == "succeeded")

            await eventually(has_ended)
            again = await ask(keyed | {"Idempotency-Key": key})
            assert (again["id"], again["state"]) == (first["id"], "succeeded")
            with pytest.raises(NotFound):
                await ask(keyed | {"Idempotency-Key": "another"})
            with pytest.raises(NotFound):
                await ask({})


UNDER_WAY = """
    insert into operation (kind, machine_id, max_failures, not_before)
    values ('power', $1, 1, now() + interval '1 hour') returning id
"""
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"


@pytest.mark.parametrize("asks", ["release", "delete", "forget", "power"])
async def test_whoever_asks_in_the_moment_when_another_operation_ends_waits_for_its_end(
    tmp_path: Path, database_url: str, asks: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = (await innkeeper.compose(host["id"]))["system_id"]
        await own(innkeeper, made, "admin")
        parts, admin = innkeeper.region.parts, innkeeper.admin
        services = parts.services
        starts: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "release": lambda: services.keeping.start_release(admin, made),
            "delete": lambda: services.machines.start_delete(admin, made),
            "forget": lambda: services.adoption.start_forget(admin, made),
            "power": lambda: services.machines.start_power(admin, made, PowerAction.ON),
        }
        machine_id = (await services.machines.read(made)).id
        async with parts.database.connection() as db:
            before = await db.fetchval(UNDER_WAY, machine_id)
        async with parts.database.transaction() as db:
            await db.execute("update operation set state = 'succeeded' where id = $1", before)
            asking = asyncio.ensure_future(starts[asks]())

            async def waits() -> bool:
                return bool(await db.fetchval(WAITING))

            await eventually(waits)
            await life_store.lock(db, [made])  # as what an operation ends with does
        operation = await asking
        assert operation is not None
        assert (await parts.operations.wait(operation.id, timeout_s=60.0)).state == "succeeded"
