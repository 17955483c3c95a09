"""Leftovers of machines are removed once, if a rack reaches their host; what may be restored waits for a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from common.values import GuestRef, OwnershipMarker
from regiond.db.pool import Database
from regiond.machines.core.operation_intents import open_clean_up
from regiond.reconciler.service import Reconciler
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import adopt, refresh, rows
from tests.integration.support.discrepancies import (
    Sweeper,
    kinds,
    kinds_after_refresh,
    only,
    only_after_refresh,
    without_guests,
)
from tests.integration.support.ledger_fixture import prepare
from tests.integration.support.tables import sql
from tests.support.rejections import invalid_fields
from tests.support.waiting import eventually

FAILED = """
    insert into tombstone (machine_uuid, hostname, host_name, reason, was_composed)
    values ($1, 'old', 'sim', 'its compose failed', false)
"""


async def create_leftovers(innkeeper: Deployment, host: Any) -> None:
    """Gives two guests Innkeeper's marker. The compose of the machine of the first has failed."""
    installation_id = str((await sql(innkeeper, "select id from installation"))[0]["id"])
    for number, name in enumerate(("foreign-0001", "foreign-0002")):
        marker = "update guest set installation_id = ?, machine_id = ? where name = ?"
        rows(innkeeper, marker, installation_id, f"00000000-0000-4000-8000-00000000000{number}", name)
    await refresh(innkeeper, host)
    deleted = "00000000-0000-4000-8000-000000000000"
    await sql(innkeeper, FAILED, deleted)


async def test_a_leftover_guest_is_deleted_and_no_other_guest(innkeeper: Deployment) -> None:
    host, sweeper = await innkeeper.add_simulated(guests=2), Sweeper(innkeeper)
    await create_leftovers(innkeeper, host)
    with innkeeper.held("remove guest"):
        assert [await sweeper.sweep(), await sweeper.sweep()] == [[], ["leftover_guest"]]
        assert [await sweeper.sweep(), await sweeper.sweep()] == [[], []]  # its operation is still open
    await eventually(lambda: innkeeper.simulated_guests() == ["foreign-0002"])
    assert len(await sql(innkeeper, "select 1 from operation where kind = 'clean_up'")) == 1
    assert await kinds_after_refresh(innkeeper, host) == ["unknown_guest"]


async def test_a_leftover_on_an_unreachable_host_opens_no_operation(innkeeper: Deployment) -> None:
    host, sweeper = await innkeeper.add_simulated(guests=2), Sweeper(innkeeper)
    await create_leftovers(innkeeper, host)
    await innkeeper.stop_rack("rack")
    assert [await sweeper.sweep() for _ in range(3)] == [[], [], []]
    assert await sql(innkeeper, "select 1 from operation where kind = 'clean_up'") == []
    assert await kinds(innkeeper, host=host["id"]) == ["leftover_guest", "unknown_guest"]
    await innkeeper.start_rack("rack")

    async def is_removed() -> bool:
        await sweeper.sweep()
        return innkeeper.simulated_guests() == ["foreign-0002"]

    await eventually(is_removed)
    assert len(await sql(innkeeper, "select 1 from operation where kind = 'clean_up'")) == 1


async def deleted_machine(innkeeper: Deployment, host: Any) -> None:
    """Composes a machine, copies its guest and volume as a backup does, and deletes the machine."""
    machine = await innkeeper.compose(host["id"], hostname="old")
    for table in ("guest", "disk", "volume"):
        rows(innkeeper, f"create table {table}_backup as select * from {table}")  # noqa: S608 # our own names
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    assert innkeeper.simulated_guests() == []


def restore(innkeeper: Deployment) -> None:
    """Restores the guest from its backup at the hypervisor, with its marker and id."""
    for table in ("volume", "guest", "disk"):
        rows(innkeeper, f"insert into {table} select * from {table}_backup")  # noqa: S608 # our own names


def act_late(innkeeper: Deployment) -> None:
    """Creates the guest as a call does that a rack runs after the deletion: with an id of its own."""
    for table in ("guest", "disk"):
        rows(innkeeper, f"update {table}_backup set guest_id = 'late'")  # noqa: S608 # our own names
    restore(innkeeper)


async def clean_ups(innkeeper: Deployment) -> int:
    return len(await sql(innkeeper, "select 1 from operation where kind = 'clean_up'"))


async def clean_ups_ended(innkeeper: Deployment) -> bool:
    return not await sql(innkeeper, "select 1 from operation where kind = 'clean_up' and is_open")


async def pass_time(innkeeper: Deployment, time: str) -> None:
    """Makes the tombstones, and what happened at the hosts, older."""
    await sql(innkeeper, "update tombstone set recorded_at = recorded_at - $1::text::interval", time)
    await sql(innkeeper, "update vm_host_schedule set refreshed_at = refreshed_at - $1::text::interval", time)
    await sql(innkeeper, "update guest set marker_absent_at = marker_absent_at - $1::text::interval", time)


@pytest.mark.parametrize("after", ["0 minutes", "20 minutes"])
async def test_a_guest_that_is_restored_after_its_deletion_is_kept(innkeeper: Deployment, after: str) -> None:
    host, sweeper = await innkeeper.add_simulated(), Sweeper(innkeeper)
    await deleted_machine(innkeeper, host)
    await pass_time(innkeeper, after)
    await refresh(innkeeper, host)
    restore(innkeeper)
    await refresh(innkeeper, host)
    await refresh(innkeeper, host)
    assert [await sweeper.sweep() for _ in range(3)] == [[], [], []]
    found = await only(innkeeper)
    assert (found["kind"], found["repair_policy"], found["data_at_risk"]) == ("leftover_guest", "approval", True)
    assert found["found"] == "old was deleted, and the guest may have been restored from a backup since"
    assert "innkeeper vm-host adopt sim guests=old" in found["remedy"]
    assert (await clean_ups(innkeeper), innkeeper.simulated_guests()) == (0, ["old"])
    events = [event["kind"] for event in await sql(innkeeper, "select kind from event order by id")]
    assert (events.count("restored_guest_found"), events.count("tombstone_guest_found")) == (1, 0)
    (listed,) = [one for one in await innkeeper.get("attention/") if one["kind"] == "discrepancy"]
    assert listed["remedy"].endswith("This deletes the guest old and its disks. Approve the repair.")

    (adopted,) = await adopt(innkeeper, host, all="true")
    assert (adopted["guest"], adopted["operation"]["state"]) == ("old", "succeeded")
    assert await kinds_after_refresh(innkeeper, host) == []
    await innkeeper.delete(f"machines/{adopted['system_id']}/")
    restore(innkeeper)
    assert await kinds_after_refresh(innkeeper, host) == ["leftover_guest"]
    assert (await clean_ups(innkeeper), innkeeper.simulated_guests()) == (0, ["old"])


async def test_approval_deletes_the_guest_that_may_be_restored(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await deleted_machine(innkeeper, host)
    restore(innkeeper)
    found = await only_after_refresh(innkeeper, host)
    with innkeeper.held("remove guest"):
        approved = await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
        assert "deletes it" in approved["repaired"]
        (message,) = (await invalid_fields(adopt(innkeeper, host, guests="old")))["guests"]
        assert "an operation removes it" in message
    await eventually(lambda: innkeeper.simulated_guests() == [])
    assert innkeeper.simulated().volume_names() == []
    assert await kinds_after_refresh(innkeeper, host) == []


async def test_a_guest_restored_while_a_leftover_waits_is_kept(innkeeper: Deployment) -> None:
    """The operation removes only the guest that the refresh found, whoever has its marker and name by then."""
    host = await innkeeper.add_simulated()
    await deleted_machine(innkeeper, host)
    act_late(innkeeper)
    with innkeeper.held("remove guest"):
        await refresh(innkeeper, host)
        assert await clean_ups(innkeeper) == 1
        for table in ("guest", "disk"):
            rows(innkeeper, f"update {table} set guest_id = 'restored'")  # noqa: S608 # our own names
    await eventually(lambda: clean_ups_ended(innkeeper))
    assert innkeeper.simulated_guests() == ["old"]


async def test_a_guest_that_gets_its_marker_back_is_as_a_restored_one(innkeeper: Deployment) -> None:
    """As `virsh define` of an old definition does, over one without."""
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="old")
    ((installation_id, machine_id),) = rows(innkeeper, "select installation_id, machine_id from guest")
    marker = "update guest set installation_id = ?, machine_id = ?"
    rows(innkeeper, marker, None, None)
    await refresh(innkeeper, host)
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    await pass_time(innkeeper, "20 minutes")
    await refresh(innkeeper, host)
    rows(innkeeper, marker, installation_id, machine_id)
    for _ in range(2):
        await refresh(innkeeper, host)
    assert (await clean_ups(innkeeper), innkeeper.simulated_guests()) == (0, ["old"])


@pytest.mark.parametrize(
    ("appears", "since", "kept"),
    [(restore, "1 minute", ["old"]), (act_late, "20 minutes", ["old"]), (act_late, "1 minute", [])],
    ids=["restored", "later than any call", "late call"],
)
async def test_a_guest_on_a_host_that_is_added_anew_may_be_restored(
    innkeeper: Deployment, appears: Callable[[Deployment], None], since: str, kept: list[str]
) -> None:
    """Its host was not known when no call could create a guest of the deleted machine any more."""
    host = await innkeeper.add_simulated()
    await deleted_machine(innkeeper, host)
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    await pass_time(innkeeper, since)
    appears(innkeeper)
    host = await innkeeper.add_simulated()
    await refresh(innkeeper, host)
    await eventually(lambda: innkeeper.simulated_guests() == kept)
    assert await clean_ups(innkeeper) == (0 if kept else 1)


@pytest.mark.parametrize("away", ["1 minute", "5 days"])
async def test_a_guest_that_a_refresh_finds_first_is_a_leftover(innkeeper: Deployment, away: str) -> None:
    """It was there all the time, on a host that was not refreshed."""
    host = await innkeeper.add_simulated()
    await deleted_machine(innkeeper, host)
    await refresh(innkeeper, host)
    act_late(innkeeper)
    await pass_time(innkeeper, away)
    await refresh(innkeeper, host)
    await eventually(lambda: innkeeper.simulated_guests() == [])
    assert await clean_ups(innkeeper) == 1


async def test_a_leftover_that_cannot_be_removed_stays_a_leftover(innkeeper: Deployment) -> None:
    host, sweeper = await innkeeper.add_simulated(guests=2), Sweeper(innkeeper)
    await create_leftovers(innkeeper, host)
    await pass_time(innkeeper, "5 days")
    await sql(innkeeper, "update vm_host_schedule set refreshed_at = now()")  # a run that listed it
    rows(innkeeper, "update guest set memory_mib = 2048")  # its row is written again
    with innkeeper.held("remove guest"):
        await refresh(innkeeper, host)
        assert await clean_ups(innkeeper) == 1
        for statement in ("select 1", "update guest set marker_absent_at = null"):  # as before the column was there
            await sql(innkeeper, statement)
            (message,) = (await invalid_fields(adopt(innkeeper, host, guests="foreign-0001")))["guests"]
            assert "its machine was deleted, and an operation removes it" in message
    await eventually(lambda: innkeeper.simulated_guests() == ["foreign-0002"])
    assert await sweeper.sweep() == []


REACHED_LEFTOVERS = """
    with guest as (insert into guest (server_id, guest_key, name, power_state, cores, memory_mib, marker_installation,
                                      marker_machine)
                   select h.server_id, 'old', 'old', 'off', 1, 1, i.id, i.id from vm_host h, installation i limit 1),
         tombstone as (insert into tombstone (machine_uuid, hostname, host_name, reason, was_composed)
                       select id, 'old', 'sim', 'failed', false from installation),
         pool as (select id, server_id, pool_key from storage_pool order by id limit 1),
         lost as (insert into tombstone (machine_uuid, hostname, host_name, reason, was_composed, volumes)
                  select gen_random_uuid(), 'lost', 'sim', 'failed', false, jsonb_build_array(jsonb_build_object(
                         'server_id', server_id, 'pool', pool_key, 'name', 'lost-0')) from pool returning machine_uuid),
         volume as (insert into orphaned_volume (storage_pool_id, project, name, marker_machine)
                    select pool.id, '', 'lost-0', lost.machine_uuid from pool, lost),
         region as (insert into region_process (id, hostname, pid) select id, 'r', 1 from installation returning id),
         rack as (insert into rack (id, name, certificate_fingerprint, certificate_expires_at)
                  select id, 'rack', '', now() from installation returning id),
         link as (insert into rack_link select rack.id, region.id from rack, region)
    insert into rack_reach (rack_id, host_id, reaches) select rack.id, h.id, true from rack, vm_host h
"""


@pytest.mark.parametrize(
    ("change", "opened"),
    [
        ("select", ["lost-0", "old"]),
        ("update rack_reach set reaches = false", []),
        ("delete from rack_link", []),
        ("update region_process set seen_at = now() - interval '1 minute'", []),
    ],
    ids=["reached", "unreachable", "rack disconnected", "region dead"],
)
async def test_removal_requires_a_connected_rack_that_reaches_the_host(
    database: Database, change: str, opened: list[str]
) -> None:
    ledger = await without_guests(database)
    for statement in (REACHED_LEFTOVERS, change):
        await ledger.execute(statement)
    for _ in range(3):
        await Reconciler(database, every_s=0.0).sweep()
    async with database.connection() as db:
        found = await db.fetch("select hostname from operation where kind = 'clean_up' order by hostname")
    assert [row["hostname"] for row in found] == opened


async def test_a_failed_removal_is_repeated_at_growing_intervals(database: Database) -> None:
    """A volume cannot be deleted while a clone of it exists."""
    ledger = await without_guests(database)
    await ledger.execute(REACHED_LEFTOVERS)

    async def opened() -> int:
        for _ in range(3):
            await Reconciler(database, every_s=0.0).sweep()
        async with database.transaction() as db:
            failed = "update operation set state = 'failed', finished_at = now() where kind = 'clean_up'"
            await db.execute(failed)
            count: int = await db.fetchval("select count(*) from operation where kind = 'clean_up'")
        return count

    async def opened_after(minutes: int) -> int:
        async with database.transaction() as db:
            await db.execute("update discrepancy set repaired_at = repaired_at - make_interval(mins => $1)", minutes)
        return await opened()

    assert [await opened(), await opened()] == [2, 2]  # a guest's and a volume's
    assert [await opened_after(9), await opened_after(2)] == [2, 4]
    assert [await opened_after(19), await opened_after(2)] == [4, 6]


async def test_each_guest_of_one_marker_is_removed_by_an_operation_of_its_own(database: Database) -> None:
    """The id tells them apart: one may be the machine's own, which a person restores. One without an id has any."""
    host_id = (await prepare(database)).hosts[0]
    guest = GuestRef(name="web", marker=OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2)))

    async def opened(*ids: str | None) -> list[int]:
        async with database.transaction() as db:
            return [await open_clean_up(db, host_id, "a", guest, guest_id=one) for one in ids]

    first, second, again = await opened("g0", "g1", "g0")
    assert first == again != second
    any_of_them, of_one = await opened(None, "g2")
    assert any_of_them == of_one
