"""What a person approves is done, once, and only when it is still what they were shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from common.errors import Busy, InnkeeperError, WrongState
from regiond.db.pool import Database
from regiond.ledger import store as ledger
from regiond.machines import store
from regiond.reconciler.model import Kind, Standing
from regiond.reconciler.service import Reconciler
from tests.installation import Installation, installed
from tests.integration.adopting import marks, refresh, rows
from tests.integration.joined_racks import ADMIN
from tests.integration.test_reconciler import kinds, sql
from tests.integration.test_reconciler_mends import broken_ground
from tests.integration.test_unused_volumes import mark_of, put_volume, volumes
from tests.integration.users import as_user
from tests.waiting import eventually


async def only(innkeeper: Installation, kind: str) -> Any:
    (found,) = [one for one in await innkeeper.get("differences/") if one["kind"] == kind]
    return found


async def approve(innkeeper: Installation, difference: Any, **changed: Any) -> Any:
    fields = {"etag": difference["etag"], "found": difference["found"], **changed}
    return await innkeeper.post(f"differences/{difference['id']}/", op="approve", **fields)


async def ended(innkeeper: Installation) -> Any:
    """The newest operation, when nothing is under way any more."""

    async def quiet() -> bool:
        return not await innkeeper.region.parts.services.operations.list(
            states=("queued", "running", "waiting", "undoing"), limit=1
        )

    await eventually(quiet)
    (newest,) = await innkeeper.region.parts.services.operations.list(limit=1)
    return newest


async def test_a_volume_goes_when_just_that_is_approved_and_it_is_told_who_approved(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)
        before = volumes(innkeeper)
        name = put_volume(innkeeper, await mark_of(innkeeper))
        await refresh(innkeeper, host)
        shown = await only(innkeeper, "unused_volume")
        rows(innkeeper, "update volume set size_bytes = 5 where name = ?", name)
        await refresh(innkeeper, host)
        status, words = await refused(approve(innkeeper, shown))
        assert status == 409
        for text in ("1000000000 bytes", "of 5 bytes", "nothing was done"):
            assert text in words
        assert (await refused(approve(innkeeper, shown, etag="")))[0] == 400
        assert name in volumes(innkeeper)
        found = await only(innkeeper, "unused_volume")
        read = await innkeeper.get(f"differences/{found['id']}/")
        assert read == {**found, "last_seen_at": read["last_seen_at"]}
        done = await approve(innkeeper, found)
        assert "removes it" in done["mended"]
        assert (await ended(innkeeper)).state.value == "succeeded"
        assert volumes(innkeeper) == before
        assert await kinds(innkeeper) == []
        (event,) = [one for one in await innkeeper.region.parts.events.list() if one.kind == "difference_mended"]
        assert (event.username, event.details["found"]) == ("admin", found["found"])
        again = await approve(innkeeper, found)
        assert (again["mended"], again["mended_at"]) == (done["mended"], done["mended_at"])
        assert await innkeeper.get(f"differences/{found['id']}/") == again
        status, words = await refused(approve(innkeeper, found, etag="another"))
        assert (status, "is mended" in words) == (409, True)
        assert [one["kind"] for one in await innkeeper.get("operations/")].count("clean_up") == 1


async def refused(asked: Awaitable[Any]) -> tuple[int, str]:
    """Status and words."""
    with pytest.raises(InnkeeperError) as caught:
        await asked
    return caught.value.details["status"], caught.value.message


@pytest.mark.same_sql
async def test_only_administrators_approve_and_a_volume_that_a_guest_has_by_then_stays(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)
        made = await innkeeper.compose(host["id"], hostname="vm", storage="root:10,data:5")
        rows(innkeeper, "delete from disk where position = 1")
        await refresh(innkeeper, host)
        told = await only(innkeeper, "unused_volume")
        status, words = await refused(approve(innkeeper, told))
        assert (status, "nothing to approve" in words) == (409, True)
        assert (await refused(approve(await as_user(innkeeper, "ann"), told)))[0] == 403
        assert told["system_id"] == made["system_id"]
        rows(
            innkeeper,
            "insert into disk select guest_id, 1, 'default', ?, null from guest where name = 'vm'",
            told["name"],
        )
        other = put_volume(innkeeper, await mark_of(innkeeper))
        await refresh(innkeeper, host)
        found = await only(innkeeper, "unused_volume")
        rows(innkeeper, "insert into disk select guest_id, 7, 'default', ?, null from guest where name <> 'vm'", other)
        await approve(innkeeper, found)
        newest = await ended(innkeeper)
        assert (newest.state.value, newest.error_code) == ("failed", "wrong_state")
        assert "foreign-0001" in newest.error_message
        assert other in volumes(innkeeper)
        await refresh(innkeeper, host)
        assert await kinds(innkeeper) == []


@pytest.mark.same_sql
async def test_a_machine_of_an_older_backup_is_adopted_with_its_mark(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = await innkeeper.compose(host["id"], hostname="kept", cores=2)
        before = marks(innkeeper)
        await lose(innkeeper, made)
        await refresh(innkeeper, host)
        found = await only(innkeeper, "unknown_guest")
        assert (found["mended_by"], found["data_at_risk"]) == ("approval", True)
        assert "as kept" in (await approve(innkeeper, found))["mended"]
        assert (await ended(innkeeper)).state.value == "succeeded"
        (machine,) = await innkeeper.get("machines/")
        assert (machine["hostname"], machine["cpu_count"], machine["status_name"]) == ("kept", 2, "Ready")
        assert marks(innkeeper) == before
        await refresh(innkeeper, host)
        assert await kinds(innkeeper) == []


async def lose(innkeeper: Installation, machine: Any) -> None:
    """As a database that was restored from a backup made before the machine was: with all that hangs on it."""
    (row,) = await sql(innkeeper, "select id from machine where system_id = $1", machine["system_id"])
    async with innkeeper.region.parts.database.transaction() as db:
        await ledger.release_machine(db, row["id"])
        await store.delete(db, row["id"])


@asynccontextmanager
async def with_a_machine(folder: Path, database_url: str) -> AsyncGenerator[tuple[Installation, Any]]:
    """An installation with one host, and on that the machine `vm`."""
    async with installed(folder, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.compose(host["id"], hostname="vm")
        yield innkeeper, host


@pytest.mark.same_sql
async def test_a_machine_whose_guest_is_gone_for_good_leaves_the_ledger_and_its_volumes_are_told(
    tmp_path: Path, database_url: str
) -> None:
    async with with_a_machine(tmp_path, database_url) as (innkeeper, host):
        rows(innkeeper, "delete from disk")
        rows(innkeeper, "delete from guest")
        await refresh(innkeeper, host)
        await approve(innkeeper, await only(innkeeper, "machine_missing"))
        assert (await ended(innkeeper)).state.value == "succeeded"
        assert await innkeeper.get("machines/") == []
        await refresh(innkeeper, host)
        left = await only(innkeeper, "unused_volume")
        assert (left["mended_by"], left["data_at_risk"]) == ("approval", True)
        assert len(volumes(innkeeper)) == 1
        await approve(innkeeper, left)
        await ended(innkeeper)
        assert volumes(innkeeper) == []


@pytest.mark.same_sql
async def test_a_guest_that_came_back_while_its_machine_was_given_up_stays_and_is_foreign(
    tmp_path: Path, database_url: str
) -> None:
    async with with_a_machine(tmp_path, database_url) as (innkeeper, host):
        (guest,) = rows(innkeeper, "select * from guest")
        (mark,) = {marks(innkeeper)["vm"]}
        rows(innkeeper, "update guest set machine_id = null, installation_id = null")  # out of the driver's sight
        await refresh(innkeeper, host)
        missing = await only(innkeeper, "machine_missing")
        rows(innkeeper, "update guest set machine_id = ?, installation_id = ?", mark, guest[2])
        await approve(innkeeper, missing)
        assert (await ended(innkeeper)).state.value == "succeeded"
        assert (innkeeper.simulated_guests(), marks(innkeeper)) == (["vm"], {"vm": None})
        assert len(volumes(innkeeper)) == 1


@pytest.mark.same_sql
async def test_the_mark_is_taken_off_a_restored_copy_and_not_off_the_machine(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host, far = await innkeeper.add_simulated(), await innkeeper.add_simulated("far", guests=1)
        await innkeeper.compose(host["id"], hostname="vm")
        mark, (own,) = rows(innkeeper, "select installation_id, machine_id from guest"), marks(innkeeper).values()
        rows(innkeeper, "update guest set installation_id = ?, machine_id = ?", *mark[0], name="far")
        await refresh(innkeeper, far)
        copy = await only(innkeeper, "second_guest")
        assert (copy["name"], copy["host_name"]) == ("foreign-0001", "far")
        await approve(innkeeper, copy)
        assert (await ended(innkeeper)).state.value == "succeeded"
        assert rows(innkeeper, "select name, machine_id from guest", name="far") == [("foreign-0001", None)]
        assert marks(innkeeper) == {"vm": own}
        assert await kinds(innkeeper) == []
        await refresh(innkeeper, far)
        assert await kinds(innkeeper) == []


async def test_a_machine_follows_its_guest_to_another_host(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host, far = await innkeeper.add_simulated(), await innkeeper.add_simulated("far")
        made = await innkeeper.compose(host["id"], hostname="vm", cores=2, storage="root:10,data:5")
        for table in ("guest", "volume", "disk", "nic"):
            for row in rows(innkeeper, f"select * from {table}"):  # noqa: S608  names of this test's own
                values = ", ".join("?" * len(row))
                rows(innkeeper, f"insert into {table} values ({values})", *row, name="far")  # noqa: S608
        for table in ("disk", "guest", "volume"):
            rows(innkeeper, f"delete from {table}")  # noqa: S608
        await refresh(innkeeper, host)
        await refresh(innkeeper, far)
        assert await kinds(innkeeper) == ["guest_elsewhere", "machine_missing"]
        elsewhere = await only(innkeeper, "guest_elsewhere")
        assert elsewhere["name"] == "vm"
        done = await approve(innkeeper, elsewhere)
        assert done["mended"].endswith("the machine is on far now")
        assert await kinds(innkeeper) == []
        machine = await innkeeper.get(f"machines/{made['system_id']}/")
        assert (machine["pod"]["name"], machine["status_name"]) == ("far", "Ready")
        for one, cores in ((host, 0), (far, 2)):
            await refresh(innkeeper, one)
            assert (await innkeeper.get(f"vm-hosts/{one['id']}/"))["used"]["cores"] == cores
        assert await kinds(innkeeper) == []
        await innkeeper.delete(f"machines/{made['system_id']}/")
        assert (innkeeper.simulated_guests("far"), volumes(innkeeper, "far")) == ([], [])


@pytest.mark.same_sql
async def test_a_machine_does_not_follow_a_guest_that_lacks_its_disks(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host, far = await innkeeper.add_simulated(), await innkeeper.add_simulated("far", guests=1)
        await innkeeper.compose(host["id"], hostname="vm")
        (guest,) = rows(innkeeper, "select * from guest")
        rows(innkeeper, "update guest set installation_id = ?, machine_id = ?", guest[2], guest[3], name="far")
        rows(innkeeper, "delete from disk")
        rows(innkeeper, "delete from guest")
        await refresh(innkeeper, host)
        await refresh(innkeeper, far)
        status, words = await refused(approve(innkeeper, await only(innkeeper, "guest_elsewhere")))
        assert (status, "does not have ik-" in words) == (409, True)
        assert await kinds(innkeeper) == ["guest_elsewhere", "machine_missing"]


@pytest.mark.same_sql
async def test_of_two_who_approve_at_once_both_are_told_what_was_done_once(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        put_volume(innkeeper, await mark_of(innkeeper, uuid4()))
        await refresh(innkeeper, host)
        found = await only(innkeeper, "unused_volume")
        with innkeeper.held("remove volumes"):
            one, other = await asyncio.gather(*(approve(innkeeper, found) for _ in range(2)))
            assert one == other
            (row,) = await sql(innkeeper, "select count(*) as count from operation where kind = 'clean_up'")
            assert row["count"] == 1
        assert (await ended(innkeeper)).state.value == "succeeded"


class Overtaken(Reconciler):
    """Another region finds something else between its look and its mend."""

    async def read(self, difference_id: int) -> Standing:
        found = await super().read(difference_id)
        async with self._database.connection() as db:
            await db.execute("update server set cores_claimed = 9")
        await super().check()
        return found


@pytest.mark.same_sql
async def test_what_became_another_in_the_moment_of_its_approval_is_not_mended(database: Database) -> None:
    ground = await broken_ground(database)
    (shown,) = await Reconciler(database).check(kind=Kind.TOTAL_DIFFERS)
    with pytest.raises(WrongState, match="says 9 cores"):
        await Overtaken(database).approve(ADMIN, shown.id, etag=shown.difference.etag)
    assert await ground.claimed() == (9, 1)


@pytest.mark.same_sql
async def test_what_is_held_by_somebody_else_is_not_mended_and_may_be_approved_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = await broken_ground(database)
    (shown,) = await Reconciler(database).check(kind=Kind.TOTAL_DIFFERS)
    monkeypatch.setattr("regiond.reconciler.store._WAIT_SHORTLY", "set local lock_timeout = '50ms'")
    async with database.transaction() as other:
        await other.execute("select 1 from server for update")
        with pytest.raises(Busy, match="nothing was mended"):
            await Reconciler(database).approve(ADMIN, shown.id, etag=shown.difference.etag)
    assert await ground.claimed() == (7, 1)
    await Reconciler(database).approve(ADMIN, shown.id, etag=shown.difference.etag)
    assert await ground.claimed() == (1, 1)
