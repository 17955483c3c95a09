"""An approved repair runs once, and only if the discrepancy is unchanged since it was shown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

import pytest

from common.errors import Busy, WrongState
from regiond.db.pool import Database
from regiond.ledger import store as ledger_store
from regiond.machines.core import store
from regiond.operations.model import OPEN_STATES
from regiond.reconciler.model import DiscrepancyKind, OpenDiscrepancy
from regiond.reconciler.service import Reconciler
from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_orphaned_volumes import marker_of, put_volume, volumes
from tests.integration.support.adoption import markers, refresh, rows
from tests.integration.support.discrepancies import (
    kinds,
    kinds_after_refresh,
    ledger_with_wrong_total,
    only,
    only_after_refresh,
    row_of,
)
from tests.integration.support.rigs.joined_racks import ADMIN
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user
from tests.postgresql.database import execute
from tests.support.rejections import rejection
from tests.support.waiting import eventually

ATTACH = "insert into disk select guest_id, {}, 'default', ?, null from guest where name = '{}'"


async def approve(innkeeper: Deployment, discrepancy: Any, **changed: Any) -> Any:
    fields = {"etag": discrepancy["etag"], "found": discrepancy["found"], **changed}
    return await innkeeper.post(f"discrepancies/{discrepancy['id']}/", op="approve", **fields)


async def repair(innkeeper: Deployment, discrepancy: Any) -> Any:
    """Approves the discrepancy; returns the response once the repair has succeeded."""
    response = await approve(innkeeper, discrepancy)
    assert (await ended(innkeeper)).state.value == "succeeded"
    return response


async def without_guest(innkeeper: Deployment, host: Any) -> None:
    """Deletes all guests at the host, but not their volumes."""
    rows(innkeeper, "delete from disk")
    rows(innkeeper, "delete from guest")
    await refresh(innkeeper, host)


async def ended(innkeeper: Deployment) -> Any:
    """Returns the newest operation once none is open."""

    async def quiet() -> bool:
        return not await innkeeper.region.components.services.operations.list(states=OPEN_STATES, limit=1, caller=None)

    await eventually(quiet)
    (newest,) = await innkeeper.region.components.services.operations.list(limit=1, caller=None)
    return newest


async def test_an_approved_volume_is_deleted_and_the_approver_is_recorded(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    before = volumes(innkeeper)
    name = put_volume(innkeeper, await marker_of(innkeeper))
    shown = await only_after_refresh(innkeeper, host, "orphaned_volume")
    rows(innkeeper, "update volume set size_bytes = 5 where name = ?", name)
    await refresh(innkeeper, host)
    status, message = await rejected(approve(innkeeper, shown))
    assert status == 409
    for text in ("1000000000 bytes", "of 5 bytes", "nothing was done"):
        assert text in message
    assert (await rejected(approve(innkeeper, shown, etag="")))[0] == 400
    assert name in volumes(innkeeper)
    found = await only(innkeeper, "orphaned_volume")
    read = await innkeeper.get(f"discrepancies/{found['id']}/")
    assert read == {**found, "last_seen_at": read["last_seen_at"]}
    done = await repair(innkeeper, found)
    assert "deletes it" in done["repaired"]
    assert volumes(innkeeper) == before
    assert await kinds(innkeeper) == []
    (event,) = [
        one for one in await innkeeper.region.components.services.events.list() if one.kind == "discrepancy_repaired"
    ]
    assert (event.username, event.details["found"]) == ("admin", found["found"])
    again = await approve(innkeeper, found)
    assert (again["repaired"], again["repaired_at"]) == (done["repaired"], done["repaired_at"])
    assert await innkeeper.get(f"discrepancies/{found['id']}/") == again
    status, message = await rejected(approve(innkeeper, found, etag="another"))
    assert (status, "is repaired" in message) == (409, True)
    assert [one["kind"] for one in await innkeeper.get("operations/")].count("clean_up") == 1


async def rejected(request: Awaitable[Any]) -> tuple[int, str]:
    """Returns status and message of the rejected request."""
    error = await rejection(request)
    return error.details["status"], error.message


async def test_only_admins_approve_and_a_volume_in_use_is_not_deleted(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    composed = await innkeeper.compose(host["id"], hostname="vm", storage="root:10,data:5")
    rows(innkeeper, "delete from disk where position = 1")
    reported = await only_after_refresh(innkeeper, host, "orphaned_volume")
    status, message = await rejected(approve(innkeeper, reported))
    assert (status, "nothing to approve" in message) == (409, True)
    assert (await rejected(approve(await as_user(innkeeper, "ann"), reported)))[0] == 403
    assert reported["system_id"] == composed["system_id"]
    rows(innkeeper, ATTACH.format(1, "vm"), reported["name"])
    other = put_volume(innkeeper, await marker_of(innkeeper))
    found = await only_after_refresh(innkeeper, host, "orphaned_volume")
    rows(innkeeper, ATTACH.format(7, "foreign-0001"), other)
    await approve(innkeeper, found)
    newest = await ended(innkeeper)
    assert (newest.state.value, newest.error_code) == ("failed", "wrong_state")
    assert "foreign-0001" in newest.error_message
    assert other in volumes(innkeeper)
    assert await kinds_after_refresh(innkeeper, host) == []


async def test_a_guest_unknown_to_a_restored_database_is_adopted(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    composed = await innkeeper.compose(host["id"], hostname="restored", cores=2)
    before = markers(innkeeper)
    await lose(innkeeper, composed)
    found = await only_after_refresh(innkeeper, host, "unknown_guest")
    assert (found["repair_policy"], found["data_at_risk"]) == ("approval", True)
    assert "as restored" in (await repair(innkeeper, found))["repaired"]
    (machine,) = await innkeeper.get("machines/")
    assert (machine["hostname"], machine["cpu_count"], machine["status_name"]) == ("restored", 2, "Deployed")
    assert machine["owner"] is None, "only administrators use it until one adopts it with an owner"
    assert markers(innkeeper) == before
    assert await kinds_after_refresh(innkeeper, host) == []


async def lose(innkeeper: Deployment, machine: Any) -> None:
    """Deletes the machine from the database, as a restore of an older backup does."""
    machine_id = (await row_of(innkeeper, machine))["id"]
    async with innkeeper.region.components.database.transaction() as db:
        await ledger_store.release_machine(db, machine_id)
        await store.delete(db, machine_id)


async def host_with_machine(innkeeper: Deployment) -> Any:
    """Adds a host and composes the machine `vm` on it; returns the host."""
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], hostname="vm")
    return host


async def test_approval_deletes_a_missing_machine_but_not_its_volumes(innkeeper: Deployment) -> None:
    host = await host_with_machine(innkeeper)
    await without_guest(innkeeper, host)
    await repair(innkeeper, await only(innkeeper, "machine_missing"))
    assert await innkeeper.get("machines/") == []
    orphaned = await only_after_refresh(innkeeper, host, "orphaned_volume")
    assert (orphaned["repair_policy"], orphaned["data_at_risk"]) == ("approval", True)
    assert len(volumes(innkeeper)) == 1
    await repair(innkeeper, orphaned)
    assert volumes(innkeeper) == []


async def test_a_guest_that_returns_during_the_repair_becomes_foreign(innkeeper: Deployment) -> None:
    host = await host_with_machine(innkeeper)
    (guest,) = rows(innkeeper, "select * from guest")
    (marker,) = {markers(innkeeper)["vm"]}
    rows(innkeeper, "update guest set machine_id = null, installation_id = null")  # the driver does not list it
    missing = await only_after_refresh(innkeeper, host, "machine_missing")
    rows(innkeeper, "update guest set machine_id = ?, installation_id = ?", marker, guest[2])
    await repair(innkeeper, missing)
    assert (innkeeper.simulated_guests(), markers(innkeeper)) == (["vm"], {"vm": None})
    assert len(volumes(innkeeper)) == 1


async def test_the_marker_is_removed_from_a_copy_and_not_from_the_machine(innkeeper: Deployment) -> None:
    host, other = await innkeeper.add_simulated(), await innkeeper.add_simulated("far", guests=1)
    await innkeeper.compose(host["id"], hostname="vm")
    marker, (own,) = rows(innkeeper, "select installation_id, machine_id from guest"), markers(innkeeper).values()
    rows(innkeeper, "update guest set installation_id = ?, machine_id = ?", *marker[0], name="far")
    rows(innkeeper, "insert into generation select guest_id, 3 from guest", name="far")
    copy = await only_after_refresh(innkeeper, other, "duplicate_guest")
    assert (copy["name"], copy["host_name"]) == ("foreign-0001", "far")
    (recorded,) = await sql(innkeeper, "select id from guest where generation = 3")
    await repair(innkeeper, copy)
    assert rows(innkeeper, "select name, machine_id from guest", name="far") == [("foreign-0001", None)]
    assert await sql(innkeeper, "select id from guest where generation is null and id = $1", recorded["id"])
    assert rows(innkeeper, "select * from generation", name="far") == []
    assert markers(innkeeper) == {"vm": own}
    assert await kinds(innkeeper) == []
    assert await kinds_after_refresh(innkeeper, other) == []


async def test_a_machine_follows_its_guest_to_another_host(innkeeper: Deployment) -> None:
    host, other = await innkeeper.add_simulated(), await innkeeper.add_simulated("far")
    composed = await innkeeper.compose(host["id"], hostname="vm", cores=2, storage="root:10,data:5")
    for table in ("guest", "volume", "disk", "nic"):
        for row in rows(innkeeper, f"select * from {table}"):  # noqa: S608  # constants of this test
            values = ", ".join("?" * len(row))
            rows(innkeeper, f"insert into {table} values ({values})", *row, name="far")  # noqa: S608
    for table in ("disk", "guest", "volume"):
        rows(innkeeper, f"delete from {table}")  # noqa: S608
    assert await kinds_after_refresh(innkeeper, host, other) == ["guest_on_other_host", "machine_missing"]
    moved = await only(innkeeper, "guest_on_other_host")
    assert moved["name"] == "vm"
    done = await approve(innkeeper, moved)
    assert done["repaired"].endswith("the machine is on far now")
    assert await kinds(innkeeper) == []
    machine = await innkeeper.get(f"machines/{composed['system_id']}/")
    assert (machine["pod"]["name"], machine["status_name"]) == ("far", "Ready")
    for one, cores in ((host, 0), (other, 2)):
        await refresh(innkeeper, one)
        assert (await innkeeper.get(f"vm-hosts/{one['id']}/"))["used"]["cores"] == cores
    assert await kinds(innkeeper) == []
    await innkeeper.delete(f"machines/{composed['system_id']}/")
    assert (innkeeper.simulated_guests("far"), volumes(innkeeper, "far")) == ([], [])


async def test_a_machine_does_not_follow_a_guest_that_lacks_its_disks(innkeeper: Deployment) -> None:
    host, other = await innkeeper.add_simulated(), await innkeeper.add_simulated("far", guests=1)
    await innkeeper.compose(host["id"], hostname="vm")
    (guest,) = rows(innkeeper, "select * from guest")
    rows(innkeeper, "update guest set installation_id = ?, machine_id = ?", guest[2], guest[3], name="far")
    await without_guest(innkeeper, host)
    await refresh(innkeeper, other)
    status, message = await rejected(approve(innkeeper, await only(innkeeper, "guest_on_other_host")))
    assert (status, "lacks ik-" in message) == (409, True)
    assert await kinds(innkeeper) == ["guest_on_other_host", "machine_missing"]


async def test_two_concurrent_approvals_return_the_same_single_repair(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    put_volume(innkeeper, await marker_of(innkeeper, uuid4()))
    found = await only_after_refresh(innkeeper, host, "orphaned_volume")
    with innkeeper.held("remove volumes"):
        one, other = await asyncio.gather(*(approve(innkeeper, found) for _ in range(2)))
        assert one == other
        assert len(await sql(innkeeper, "select 1 from operation where kind = 'clean_up'")) == 1
    assert (await ended(innkeeper)).state.value == "succeeded"


class OvertakenReconciler(Reconciler):
    """Another region finds other totals between its check and its repair."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.other = database

    async def read(self, discrepancy_id: int) -> OpenDiscrepancy:
        found = await super().read(discrepancy_id)
        await execute(self.other, "update server set cores_claimed = 9")
        await super().check()
        return found


async def test_a_discrepancy_that_changes_during_approval_is_not_repaired(database: Database) -> None:
    ledger_state = await ledger_with_wrong_total(database)
    (shown,) = await Reconciler(database).check(kind=DiscrepancyKind.WRONG_TOTAL)
    with pytest.raises(WrongState, match="the total is 9 cores"):
        await OvertakenReconciler(database).approve(ADMIN, shown.id, etag=shown.discrepancy.etag)
    assert await ledger_state.claimed() == (9, 1)


async def test_a_locked_row_postpones_the_repair_until_it_is_approved_again(database: Database) -> None:
    ledger_state = await ledger_with_wrong_total(database)
    (shown,) = await Reconciler(database).check(kind=DiscrepancyKind.WRONG_TOTAL)
    async with database.transaction() as other:
        await other.execute("select 1 from server for update")
        with pytest.raises(Busy, match="nothing was repaired"):
            await Reconciler(database, lock_timeout_s=0.05).approve(ADMIN, shown.id, etag=shown.discrepancy.etag)
    assert await ledger_state.claimed() == (7, 1)
    await Reconciler(database).approve(ADMIN, shown.id, etag=shown.discrepancy.etag)
    assert await ledger_state.claimed() == (1, 1)
