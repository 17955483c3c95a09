"""Volumes of ours that no guest has: told, removed when their machine was given up, and else only when approved."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from common.marks import volume_name
from common.values import Mark
from rackd.drivers.simulated import guests
from rackd.drivers.simulated.store import Store
from regiond.reconciler.service import Reconciler
from tests.installation import Installation, installed
from tests.integration.adopting import refresh, rows
from tests.integration.test_reconciler import kinds, sql
from tests.waiting import eventually

SIZE_BYTES = 10**9


async def mark_of(innkeeper: Installation, machine: UUID | None = None) -> Mark:
    (row,) = await sql(innkeeper, "select id from installation")
    return Mark(installation_id=row["id"], machine_id=machine or uuid4())


def put_volume(innkeeper: Installation, mark: Mark, index: int = 0, *, pool: str = "default", host: str = "sim") -> str:
    """As a rack leaves it that was killed before it had made the guest."""
    store = Store(innkeeper.folder / "simulated" / f"{host}.sqlite")
    name = volume_name(mark, index)
    with store.writing() as db:
        guests.add_volume(db, pool=pool, name=name, size_bytes=SIZE_BYTES, mark=mark)
    store.close()
    return name


def volumes(innkeeper: Installation, host: str = "sim") -> list[str]:
    store = Store(innkeeper.folder / "simulated" / f"{host}.sqlite")
    with store.reading() as db:
        found = sorted(row["name"] for row in db.execute("select name from volume"))
    store.close()
    return found


async def swept(innkeeper: Installation) -> list[str]:
    """What two sweeps in a row have mended."""
    reconciler = Reconciler(innkeeper.region.parts.database, every_s=0.0)
    return [one.mended or "" for _ in range(2) for one in await reconciler.sweep()]


async def only(innkeeper: Installation) -> Any:
    (found,) = await innkeeper.get("differences/")
    return found


async def test_a_volume_of_a_machine_that_was_given_up_is_removed_and_no_guest_with_it(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        stays = await innkeeper.compose(host["id"], hostname="stays")
        made = await innkeeper.compose(host["id"], hostname="gone")
        (row,) = await sql(innkeeper, "select uuid from machine where system_id = $1", made["system_id"])
        await innkeeper.delete(f"machines/{made['system_id']}/")
        before = volumes(innkeeper)
        name = put_volume(innkeeper, await mark_of(innkeeper, row["uuid"]))
        await refresh(innkeeper, host)
        found = await only(innkeeper)
        assert (found["kind"], found["name"], found["mended_by"]) == ("unused_volume", name, "itself")
        assert f"{SIZE_BYTES} bytes in storage pool default; it was made for gone, which was given up" in found["found"]

        (mended,) = await swept(innkeeper)
        assert "removes it" in mended
        await eventually(lambda: volumes(innkeeper) == before)

        async def told() -> bool:
            return (await innkeeper.region.parts.events.list())[0].kind == "unused_volume_removed"

        await eventually(told)
        assert await kinds(innkeeper) == []
        assert innkeeper.simulated_guests() == ["stays"]
        assert (await innkeeper.get(f"machines/{stays['system_id']}/"))["status_name"] == "Ready"


@pytest.mark.same_sql
async def test_a_copy_of_a_volume_of_a_machine_that_was_given_up_is_only_told(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(pools="default:100,backup:100")
        far = await innkeeper.add_simulated("far")
        made = await innkeeper.compose(host["id"], hostname="gone")
        (row,) = await sql(innkeeper, "select uuid from machine where system_id = $1", made["system_id"])
        mark = await mark_of(innkeeper, row["uuid"])
        await innkeeper.delete(f"machines/{made['system_id']}/")
        put_volume(innkeeper, mark, pool="backup")
        put_volume(innkeeper, mark, host="far")
        await refresh(innkeeper, host)
        await refresh(innkeeper, far)
        found = await innkeeper.get("differences/")
        assert [(one["mended_by"], one["data_at_risk"]) for one in found] == [("approval", True)] * 2
        assert await swept(innkeeper) == []


async def test_a_volume_that_something_else_has_had_since_is_only_told(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)
        shared = await innkeeper.compose(host["id"], hostname="shared")
        later = await innkeeper.compose(host["id"], hostname="later")
        uuids = dict(await sql(innkeeper, "select hostname, uuid from machine"))
        name = volume_name(await mark_of(innkeeper, uuids["shared"]), 0)
        rows(innkeeper, "insert into disk select guest_id, 7, 'default', ?, null from guest where name like 'f%'", name)
        await refresh(innkeeper, host)
        for machine in (shared, later):
            await innkeeper.delete(f"machines/{machine['system_id']}/")
        assert name in volumes(innkeeper)  # another guest has it
        await sql(
            innkeeper, "update tombstone set given_up_at = now() - interval '20 minutes' where hostname = 'later'"
        )
        await refresh(innkeeper, host)
        rows(innkeeper, "delete from disk where position = 7")
        put_volume(innkeeper, await mark_of(innkeeper, uuids["later"]))
        await refresh(innkeeper, host)
        found = {one["found"].partition(";")[2]: one["mended_by"] for one in await innkeeper.get("differences/")}
        assert found == {
            " it is named after shared, which was given up, and nothing says that it was made here for it": "approval",
            " it was made for later, which was given up, and something else may have had it since then": "approval",
        }
        assert await swept(innkeeper) == []


@pytest.mark.same_sql
async def test_only_volumes_of_ours_that_no_machine_is_just_getting_are_kept(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        put_volume(innkeeper, Mark(installation_id=uuid4(), machine_id=uuid4()))  # another Innkeeper's
        await refresh(innkeeper, host)
        assert await kinds(innkeeper) == []
        name = put_volume(innkeeper, await mark_of(innkeeper))
        await refresh(innkeeper, host)
        found = await only(innkeeper)
        assert (found["name"], found["mended_by"], found["data_at_risk"]) == (name, "approval", True)
        assert "does not know (any more)" in found["found"]
        (before,) = await sql(innkeeper, "select xmin, * from unused_volume")
        await refresh(innkeeper, host)
        assert await sql(innkeeper, "select xmin, * from unused_volume") == [before]
        assert (await only(innkeeper))["id"] == found["id"]
        assert await swept(innkeeper) == []
        assert name in volumes(innkeeper)


@pytest.mark.same_sql
async def test_a_volume_of_a_machine_that_its_guest_does_not_have_is_told_until_it_has_it_again(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = await innkeeper.compose(host["id"], hostname="vm", storage="root:10,data:5")
        (row,) = await sql(innkeeper, "select uuid from machine where system_id = $1", made["system_id"])
        name = volume_name(await mark_of(innkeeper, row["uuid"]), 1)
        store = Store(innkeeper.folder / "simulated" / "sim.sqlite")
        with store.writing() as db:
            (disk,) = db.execute("select * from disk where volume = ?", (name,)).fetchall()
            db.execute("delete from disk where volume = ?", (name,))
        await refresh(innkeeper, host)
        found = [one for one in await innkeeper.get("differences/") if one["kind"] == "unused_volume"]
        assert [(one["name"], one["mended_by"], one["system_id"]) for one in found] == [
            (name, "nobody", made["system_id"])
        ]
        assert await swept(innkeeper) == []
        assert name in volumes(innkeeper)
        with store.writing() as db:
            db.execute("insert into disk values (?, ?, ?, ?, ?)", tuple(disk))
        store.close()
        await refresh(innkeeper, host)
        assert await kinds(innkeeper) == []


@pytest.mark.same_sql
async def test_the_volumes_of_a_machine_that_is_missing_are_told_with_the_machine(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = await innkeeper.compose(host["id"], hostname="vm")
        store = Store(innkeeper.folder / "simulated" / "sim.sqlite")
        with store.writing() as db:
            db.execute("delete from guest")
        store.close()
        await refresh(innkeeper, host)
        assert await kinds(innkeeper) == ["machine_missing"]
        assert len(await sql(innkeeper, "select * from unused_volume")) == 1
        await innkeeper.delete(f"machines/{made['system_id']}/")
        assert volumes(innkeeper) == []
        await refresh(innkeeper, host)
        assert (await kinds(innkeeper), await sql(innkeeper, "select * from unused_volume")) == ([], [])


@pytest.mark.same_sql
async def test_nothing_is_told_of_volumes_that_a_compose_has_made_and_not_yet_given_to_its_guest(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        with innkeeper.held("define guest"):
            wanted = await innkeeper.post(
                f"vm-hosts/{host['id']}/", op="compose", headers={"Prefer": "respond-async"}, hostname="vm"
            )
            await eventually(lambda: len(volumes(innkeeper)) == 1)
            other = await innkeeper.add_simulated("sim2")
            assert other["id"] != host["id"]
            assert await kinds(innkeeper) == []
        assert wanted["kind"] == "compose"

        async def made() -> bool:
            return innkeeper.simulated_guests() == ["vm"]

        await eventually(made)
        await refresh(innkeeper, host)
        assert await kinds(innkeeper) == []
