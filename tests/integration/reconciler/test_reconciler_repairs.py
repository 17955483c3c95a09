"""Automatic repairs: the second sweep corrects what the first reported, and changes nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import evolve

from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.reconciler import store
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, OpenDiscrepancy, RepairPolicy
from regiond.reconciler.repairs import AT_HOST
from regiond.reconciler.service import Reconciler, repair_one
from tests.deployment.deployment import Deployment
from tests.integration.machines.compose.test_constraints import TWO_NODES, WHOLE
from tests.integration.support.adoption import adopt, refresh, rows
from tests.integration.support.discrepancies import (
    EXPIRE_LEASE,
    MOVE_CLAIMS,
    Sweeper,
    kinds,
    ledger_with_wrong_total,
    only,
    row_of,
    without_guests,
)
from tests.integration.support.ledger_fixture import LedgerFixture
from tests.integration.support.tables import sql
from tests.postgresql.database import execute
from tests.support.waiting import eventually

CLAIMS = """
    select machine_id, guest_id, server_id, resource, storage_pool_id, key, amount from claim
     order by machine_id, guest_id, server_id, resource, storage_pool_id, key
"""
TOTAL = """
    update server set cores_claimed = cores_claimed + 5 where id = (select server_id from vm_host where id = $1)
"""
POOLS = "update storage_pool set claimed_bytes = 1 where server_id = (select server_id from vm_host where id = $1)"
PAGES = """
    insert into discrete_resource (server_id, resource, key, total, claimed)
    select server_id, 'huge_pages', '0/2048', 0, 7 from vm_host where id = $1
"""
LOST = "delete from claim where machine_id is not null"
DOUBLED = "update claim set amount = 2 * amount where machine_id is not null and resource = 'cores'"
PARTLY_LOST = """
    with dropped as (delete from claim where machine_id is not null and key is null)
    update claim set amount = amount - 1 where resource = 'huge_pages'
"""
_FAIL_TO_RECORD_REPAIRS = """
    create function fails() returns trigger language plpgsql as $$ begin raise exception 'injected'; end $$;
    create trigger fails before update of repaired on discrepancy for each row execute function fails();
"""
STATE = "update machine set state = '{}' where system_id = $1"


async def all_claims(innkeeper: Deployment) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in await sql(innkeeper, CLAIMS)]


async def test_ledger_discrepancies_are_repaired_to_the_original_rows(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=2, **TWO_NODES)
    far = await innkeeper.add_simulated("far")
    composed = await innkeeper.compose(host["id"], **WHOLE)
    machine = (await row_of(innkeeper, composed))["id"]
    await adopt(innkeeper, host, guests="foreign-0001")
    sweeper, whole, at_host = Sweeper(innkeeper), await all_claims(innkeeper), rows(innkeeper, "select * from guest")
    for broken in (TOTAL, POOLS, PAGES):
        await sql(innkeeper, broken, host["id"])
        assert {*await sweeper.sweep_until_clean()} == {"wrong_total"}
    for kind, statement, *values in (
        ("machine_without_claims", LOST),
        ("wrong_claims", DOUBLED),
        ("wrong_claims", "delete from claim where guest_id is not null"),
        ("wrong_claims", PARTLY_LOST),
        ("orphaned_claim", MOVE_CLAIMS, machine, far["id"]),
    ):
        await sql(innkeeper, statement, *values)
        assert {*await sweeper.sweep_until_clean()} >= {kind}
        assert await all_claims(innkeeper) == whole
    assert await innkeeper.ledger_problems() == []

    await sql(innkeeper, "alter table claim drop constraint claim_guest_id_fkey")
    await sql(innkeeper, "alter table ip_address drop constraint ip_address_machine_id_fkey")
    await sql(innkeeper, "update claim set guest_id = guest_id + 900 where guest_id is not null")
    await sql(innkeeper, "update ip_address set machine_id = machine_id + 900")
    assert {*await sweeper.sweep_until_clean()} >= {"orphaned_claim", "wrong_claims", "orphaned_address"}
    assert (await all_claims(innkeeper), await sql(innkeeper, "select * from ip_address")) == (whole, [])
    assert rows(innkeeper, "select * from guest") == at_host
    reported = [
        one for one in await innkeeper.region.components.services.events.list() if one.kind == "discrepancy_repaired"
    ]
    assert "cores and memory: was " in reported[-1].details["repaired"]


async def state(innkeeper: Deployment, machine: Any) -> str:
    return str((await innkeeper.get(f"machines/{machine['system_id']}/"))["status_name"])


async def test_a_state_without_operation_is_ended(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    free, owned = [await innkeeper.compose(host["id"], hostname=name) for name in ("free", "owned")]
    await innkeeper.post("machines/", op="allocate", system_id=owned["system_id"])
    (adopted,) = await adopt(innkeeper, host, guests="foreign-0001")
    sweeper, at_host = Sweeper(innkeeper), rows(innkeeper, "select * from guest")
    for broken in ("deleting", "releasing"):
        for machine in (free, owned):
            await sql(innkeeper, STATE.format(broken), machine["system_id"])
        assert await sweeper.sweep_until_clean() == ["state_without_operation"]
        assert [await state(innkeeper, machine) for machine in (free, owned)] == ["Ready", "Allocated"]
    await sql(innkeeper, "update vm_host set state = 'removing'")
    assert await sweeper.sweep_until_clean() == ["state_without_operation"]
    await refresh(innkeeper, host)
    assert await sql(innkeeper, "select state from vm_host") == [("ready",)]

    await sql(innkeeper, STATE.format("adopting"), adopted["system_id"])
    assert [await sweeper.sweep(), await sweeper.sweep()] == [[], ["state_without_operation"]]
    assert await kinds(innkeeper) == ["unknown_guest"]  # adopted again, it is the same machine
    await adopt(innkeeper, host, guests="foreign-0001")
    assert (await kinds(innkeeper), rows(innkeeper, "select * from guest")) == ([], at_host)


async def test_a_lost_compose_is_undone_but_with_a_guest_needs_approval(innkeeper: Deployment) -> None:
    host, sweeper = await innkeeper.add_simulated(guests=1), Sweeper(innkeeper)
    machine = await innkeeper.compose(host["id"], hostname="whole")
    with innkeeper.held("create volume"):
        await innkeeper.begin_compose(host["id"], hostname="lost")
        await eventually(lambda: sql(innkeeper, "select 1 from operation where step = 'compose_on_host'"))
        await sql(innkeeper, "delete from operation where hostname = 'lost'")
    await sql(innkeeper, STATE.format("composing"), machine["system_id"])
    assert [await sweeper.sweep(), await sweeper.sweep()] == [[], ["state_without_operation"]]
    await eventually(lambda: has_machines(innkeeper, "whole"))
    await eventually(lambda: innkeeper.simulated_guests() == ["foreign-0001", "whole"])

    assert await sweeper.sweep() == []
    found = await only(innkeeper)
    async with innkeeper.region.components.database.transaction() as db:
        done = await repair_one(db, found["id"], caller=innkeeper.admin)
    assert done is not None
    assert done.discrepancy.repair_policy is RepairPolicy.APPROVAL
    await eventually(lambda: has_machines(innkeeper))
    assert innkeeper.simulated_guests() == ["foreign-0001"]
    reported = [
        one for one in await innkeeper.region.components.services.events.list() if one.kind == "discrepancy_repaired"
    ]
    assert [one.username for one in reported] == ["admin", None]


async def has_machines(innkeeper: Deployment, *hostnames: str) -> bool:
    return await sql(innkeeper, "select hostname from machine") == [(name,) for name in hostnames]


async def test_an_expired_lease_is_ended(innkeeper: Deployment) -> None:
    host, sweeper = await innkeeper.add_simulated(), Sweeper(innkeeper)
    await innkeeper.stop_rack("rack")
    operation = await innkeeper.begin_compose(host["id"], hostname="fox")
    await innkeeper.wait_for_state(operation, "waiting")
    await sql(innkeeper, EXPIRE_LEASE, operation)
    assert await sweeper.sweep_until_clean() == ["lease_expired"]
    await innkeeper.start_rack("rack")
    assert await innkeeper.ended(operation) == "succeeded"
    assert innkeeper.simulated_guests() == ["fox"]


async def test_one_of_concurrent_sweeps_repairs(database: Database) -> None:
    ledger = await ledger_with_wrong_total(database)
    repaired = await asyncio.gather(*(Reconciler(database, every_s=0.0).sweep() for _ in range(4)))
    assert sum(len(one) for one in repaired) == 1
    assert (await ledger.mismatches(), await ledger.claimed()) == ([], (1, 1))
    event_kinds = [event.kind for event in await Events(database).list()]
    assert event_kinds.count("discrepancy_repaired") == 1
    (stored,) = await Reconciler(database).recent_repairs()
    assert stored.repaired == "totals recomputed from the claims: cores and memory: was 7 cores and 1 MiB, is 1 and 1"


async def test_a_region_sweeps_and_repairs_periodically_until_stopped(database: Database) -> None:
    ledger = await ledger_with_wrong_total(database)
    region = Reconciler(database, first_after_s=0.0, every_s=0.01)
    region.start()
    for wrong in (5, 9):
        await ledger.execute(f"update server set cores_claimed = {wrong}")  # noqa: S608  # constants
        await eventually(lambda: is_consistent(ledger))
    await region.stop()
    await ledger.execute("update server set cores_claimed = 5")
    assert len(await ledger.mismatches()) == 1


async def is_consistent(ledger: LedgerFixture) -> bool:
    return not await ledger.mismatches()


async def test_a_discrepancy_that_disappeared_is_not_repaired(database: Database) -> None:
    ledger = await ledger_with_wrong_total(database)
    async with database.transaction() as db:
        discrepancy_id = await db.fetchval("select id from discrepancy where kind = 'wrong_total'")
        await db.execute("update server set cores_claimed = 1")
        assert await repair_one(db, discrepancy_id) is None
        assert await repair_one(db, discrepancy_id + 900) is None
        assert await db.fetchval("select count(*) from discrepancy where repaired_at is not null") == 0
    assert await ledger.claimed() == (1, 1)


async def test_a_repair_that_fails_halfway_changes_nothing(database: Database) -> None:
    ledger = await ledger_with_wrong_total(database)
    await execute(database, _FAIL_TO_RECORD_REPAIRS)
    assert await Reconciler(database, every_s=0.0).sweep() == ()
    await execute(database, "drop trigger fails on discrepancy")
    assert await ledger.claimed() == (7, 1)
    assert len(await Reconciler(database, every_s=0.0).sweep()) == 1
    assert await ledger.claimed() == (1, 1)


async def test_sweeps_within_seconds_count_as_one(database: Database) -> None:
    await ledger_with_wrong_total(database)
    assert await Reconciler(database, every_s=300.0).sweep() == ()  # the third sweep within seconds
    await Reconciler(database).check()
    assert len(await Reconciler(database, every_s=0.0).sweep()) == 1


async def test_a_changed_policy_needs_two_more_sweeps(database: Database) -> None:
    automatic = Discrepancy(
        kind=DiscrepancyKind.STATE_WITHOUT_OPERATION, key="machine 1", name="vm",
        found="no operation acts on it", expected="ready", remedy="undone", ours=True, data_at_risk=False,
        repair_policy=RepairPolicy.AUTOMATIC,
    )  # fmt: skip
    async with database.transaction() as db:
        for seen, due in ((evolve(automatic, repair_policy=RepairPolicy.APPROVAL), 0), (automatic, 0), (automatic, 1)):
            await store.record(db, [seen])
            assert len(await store.due(db, 0.0, at_host=(), max_at_host=0)) == due


async def test_many_repairs_of_one_kind_do_not_delay_others(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    kinds_found = [DiscrepancyKind.WRONG_AUTOSTART] * 3 + [DiscrepancyKind.LEFTOVER_GUEST] * 2
    found = [
        Discrepancy(
            kind=kind, key=f"machine {number}", name="vm", host_id=host["id"], found="", expected="", remedy="",
            ours=True, data_at_risk=False, repair_policy=RepairPolicy.AUTOMATIC,
        )
        for number, kind in enumerate(kinds_found)
    ]  # fmt: skip
    async with innkeeper.region.components.database.transaction() as db:
        for _ in range(2):
            known = {one.id: one.discrepancy for one in (await store.record(db, found))[0]}
        due = [known[one] for one in await store.due(db, 0.0, at_host=AT_HOST, max_at_host=1)]
    assert [one.key for one in due] == ["machine 0", "machine 3"], "the oldest of each kind"


async def test_claims_stay_within_limits_while_totals_are_repaired(database: Database) -> None:
    ledger, reconciler, callers, each = await without_guests(database), Reconciler(database, every_s=0.0), 16, 10
    await ledger.execute("update server set cores = 160, memory_mib = 100000")
    repaired: list[OpenDiscrepancy] = []

    async def caller(number: int) -> int:
        return sum([await ledger.claim(number % 2, 1, 1, {}) is not None for _ in range(each)])

    async def break_and_repair() -> None:
        while len(repaired) < 2:
            # Too many claimed: concurrent claims stay within the limit.
            await execute(database, "update server set cores_claimed = cores_claimed + 3")
            repaired.extend([one for _ in range(2) for one in await reconciler.sweep()])

    granted, _ = await asyncio.gather(asyncio.gather(*map(caller, range(callers))), break_and_repair())
    while await ledger.mismatches():
        await reconciler.sweep()
    assert await ledger.claimed() == (sum(granted), sum(granted))
    left = 160 - sum(granted)
    late = await asyncio.gather(*(ledger.claim(number % 2, 1, 1, {}) for number in range(left + 1)))
    assert sum(one is not None for one in late) == left
