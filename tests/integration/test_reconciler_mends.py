"""What is broken behind Innkeeper's back: one sweep tells it, the next one mends it, and nothing else is touched."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.reconciler import store
from regiond.reconciler.model import By, Difference, Kind, Standing
from regiond.reconciler.service import Reconciler, mend_one
from tests.installation import Installation, installed
from tests.integration.adopting import ASYNC, adopt, refresh, rows
from tests.integration.ledger_ground import Ground, prepare
from tests.integration.test_constraints import TWO_NODES, WHOLE
from tests.integration.test_reconciler import LAPSED, MOVE_CLAIMS, kinds, sql
from tests.waiting import eventually

HELD = """
    select machine_id, guest_id, server_id, resource, storage_pool_id, key, amount from claim
     order by machine_id, guest_id, server_id, resource, storage_pool_id, key
"""
TOTAL = """
    update server set cores_claimed = cores_claimed + 5 where id = (select server_id from vm_host where id = $1)
"""
POOLS = "update storage_pool set claimed_bytes = 1 where server_id = (select server_id from vm_host where id = $1)"
PAGES = """
    insert into counted_resource (server_id, resource, key, total, claimed)
    select server_id, 'huge_pages', '0/2048', 0, 7 from vm_host where id = $1
"""
LOST = "delete from claim where machine_id in (select id from machine where host_id = $1)"
DOUBLED = """
    update claim set amount = 2 * amount
     where machine_id in (select id from machine where host_id = $1) and resource = 'cores'
"""
STATE = "update machine set state = '{}' where system_id = $1"


@frozen
class Sweeper:
    """A second reconciler beside the region's own, that mends, and sweeps when it is told."""

    innkeeper: Installation

    @property
    def reconciler(self) -> Reconciler:
        return Reconciler(self.innkeeper.region.parts.database, every_s=0.0)

    async def sweep(self) -> list[str]:
        """The kinds that were mended."""
        return sorted({one.difference.kind.value for one in await self.reconciler.sweep()})

    async def until_whole(self) -> list[str]:
        """What one sweep after the other mends. The first one mends nothing, whatever it is."""
        assert await self.sweep() == []
        mended: list[str] = []
        while await kinds(self.innkeeper):
            found = await self.sweep()
            assert found or not mended, "a sweep mended nothing, and something is left"
            mended += found
        return mended


async def held(innkeeper: Installation) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in await sql(innkeeper, HELD)]


async def test_what_parts_in_the_ledger_is_made_anew_as_it_was(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=2, **TWO_NODES)
        far = await innkeeper.add_simulated("far")
        made = await innkeeper.compose(host["id"], **WHOLE)
        machine = (await sql(innkeeper, "select id from machine where system_id = $1", made["system_id"]))[0]["id"]
        await adopt(innkeeper, host, guests="foreign-0001")
        sweeper, whole, at_host = Sweeper(innkeeper), await held(innkeeper), rows(innkeeper, "select * from guest")
        for broken in (TOTAL, POOLS, PAGES):
            await sql(innkeeper, broken, host["id"])
            assert {*await sweeper.until_whole()} == {"total_differs"}
        await sql(innkeeper, LOST, host["id"])
        assert {*await sweeper.until_whole()} >= {"machine_without_claims"}
        assert await held(innkeeper) == whole
        await sql(innkeeper, DOUBLED, host["id"])
        assert {*await sweeper.until_whole()} >= {"claims_differ"}
        assert await held(innkeeper) == whole
        await sql(innkeeper, "delete from claim where guest_id is not null")
        assert {*await sweeper.until_whole()} >= {"claims_differ"}
        assert await held(innkeeper) == whole
        await sql(innkeeper, "delete from claim where machine_id is not null and key is null")
        await sql(innkeeper, "update claim set amount = amount - 1 where resource = 'huge_pages'")
        assert {*await sweeper.until_whole()} >= {"claims_differ"}
        assert await held(innkeeper) == whole
        await sql(innkeeper, MOVE_CLAIMS, machine, far["id"])
        assert {*await sweeper.until_whole()} >= {"claim_without_owner"}
        assert (await held(innkeeper), await innkeeper.ledger_faults()) == (whole, [])

        await sql(innkeeper, "alter table claim drop constraint claim_guest_id_fkey")
        await sql(innkeeper, "alter table ip_address drop constraint ip_address_machine_id_fkey")
        await sql(innkeeper, "update claim set guest_id = guest_id + 900 where guest_id is not null")
        await sql(innkeeper, "update ip_address set machine_id = machine_id + 900")
        assert {*await sweeper.until_whole()} >= {"claim_without_owner", "claims_differ", "address_without_owner"}
        assert (await held(innkeeper), await sql(innkeeper, "select * from ip_address")) == (whole, [])
        assert rows(innkeeper, "select * from guest") == at_host
        told = [one for one in await innkeeper.region.parts.events.list() if one.kind == "difference_mended"]
        assert "cores and memory: said " in told[-1].details["mended"]


async def state(innkeeper: Installation, made: Any) -> str:
    return str((await innkeeper.get(f"machines/{made['system_id']}/"))["status_name"])


async def test_a_state_that_no_operation_ends_becomes_true_again(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)
        free, owned = [await innkeeper.compose(host["id"], hostname=name) for name in ("free", "owned")]
        await innkeeper.post("machines/", op="allocate", system_id=owned["system_id"])
        (adopted,) = await adopt(innkeeper, host, guests="foreign-0001")
        sweeper, at_host = Sweeper(innkeeper), rows(innkeeper, "select * from guest")
        for broken in ("deleting", "releasing"):
            for made in (free, owned):
                await sql(innkeeper, STATE.format(broken), made["system_id"])
            assert await sweeper.until_whole() == ["state_unexplained"]
            assert [await state(innkeeper, made) for made in (free, owned)] == ["Ready", "Allocated"]
        await sql(innkeeper, "update vm_host set state = 'removing'")
        assert await sweeper.until_whole() == ["state_unexplained"]
        await refresh(innkeeper, host)
        assert await sql(innkeeper, "select state from vm_host") == [("ready",)]

        await sql(innkeeper, STATE.format("adopting"), adopted["system_id"])
        assert [await sweeper.sweep(), await sweeper.sweep()] == [[], ["state_unexplained"]]
        assert await kinds(innkeeper) == ["unknown_guest"]  # which can be adopted, and is the same machine then
        await adopt(innkeeper, host, guests="foreign-0001")
        assert (await kinds(innkeeper), rows(innkeeper, "select * from guest")) == ([], at_host)


async def test_a_compose_that_was_lost_is_undone_and_one_whose_guest_is_there_waits_for_a_person(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host, sweeper = await innkeeper.add_simulated(guests=1), Sweeper(innkeeper)
        made = await innkeeper.compose(host["id"], hostname="whole")
        with innkeeper.held("make volume"):
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="compose", headers=ASYNC, hostname="lost")
            await eventually(lambda: sql(innkeeper, "select 1 from operation where step = 'compose_on_host'"))
            await sql(innkeeper, "delete from operation where hostname = 'lost'")
        await sql(innkeeper, STATE.format("composing"), made["system_id"])
        assert [await sweeper.sweep(), await sweeper.sweep()] == [[], ["state_unexplained"]]
        await eventually(lambda: nothing(innkeeper, "select 1 from machine where hostname = 'lost'"))
        await eventually(lambda: innkeeper.simulated_guests() == ["foreign-0001", "whole"])

        assert await sweeper.sweep() == []
        (waits,) = await innkeeper.get("differences/")
        async with innkeeper.region.parts.database.transaction() as db:
            done = await mend_one(db, waits["id"], innkeeper.admin)
        assert done is not None
        assert done.difference.mended_by is By.APPROVAL
        await eventually(lambda: nothing(innkeeper, "select 1 from machine"))
        assert innkeeper.simulated_guests() == ["foreign-0001"]
        told = [one for one in await innkeeper.region.parts.events.list() if one.kind == "difference_mended"]
        assert [one.username for one in told] == ["admin", None]


async def nothing(innkeeper: Installation, statement: str) -> bool:
    return not await sql(innkeeper, statement)


async def test_a_lease_that_nobody_takes_over_is_ended(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host, sweeper = await innkeeper.add_simulated(), Sweeper(innkeeper)
        await innkeeper.stop_rack("rack")
        path = f"vm-hosts/{host['id']}/"
        operation = (await innkeeper.post(path, op="compose", headers=ASYNC, hostname="fox"))["id"]
        waiting = "select 1 from operation where state = 'waiting'"
        await eventually(lambda: sql(innkeeper, waiting))
        await sql(innkeeper, LAPSED, operation)
        assert await sweeper.until_whole() == ["lease_lapsed"]
        await innkeeper.run_rack("rack")
        await eventually(
            lambda: sql(innkeeper, "select 1 from operation where hostname = 'fox' and state = 'succeeded'")
        )
        assert innkeeper.simulated_guests() == ["fox"]


async def without_guests(database: Database) -> Ground:
    ground = await prepare(database)
    await ground.execute("delete from guest")  # rows that claim nothing
    return ground


async def broken_ground(database: Database) -> Ground:
    """Two sweeps have seen that a total is wrong."""
    ground = await without_guests(database)
    await ground.must_claim(0, 1, 1, {0: 5})  # what its row says that the machine has
    await ground.execute("update server set cores_claimed = 7")
    only_tells = Reconciler(database, every_s=0.0, mends=False)
    assert (await only_tells.sweep(), await only_tells.sweep()) == ((), ())
    return ground


@pytest.mark.same_sql
async def test_of_many_regions_that_sweep_at_once_one_mends(database: Database) -> None:
    ground = await broken_ground(database)
    mended = await asyncio.gather(*(Reconciler(database, every_s=0.0).sweep() for _ in range(4)))
    assert sum(len(one) for one in mended) == 1
    assert (await ground.faults(), await ground.claimed()) == ([], (1, 1))
    kinds_told = [event.kind for event in await Events(database).list()]
    assert kinds_told.count("difference_mended") == 1
    (kept,) = await Reconciler(database).mended_lately()
    assert kept.mended == "totals made anew from the claims: cores and memory: said 7 cores and 1 MiB, is 1 and 1"


@pytest.mark.same_sql
async def test_a_region_sweeps_and_mends_by_itself_until_it_is_stopped(database: Database) -> None:
    ground = await broken_ground(database)
    region = Reconciler(database, first_after_s=0.0, every_s=0.01)
    region.start()
    for wrong in (5, 9):
        await ground.execute(f"update server set cores_claimed = {wrong}")  # noqa: S608  # numbers of ours
        await eventually(lambda: whole(ground))
    await region.stop()
    await ground.execute("update server set cores_claimed = 5")
    assert len(await ground.faults()) == 1


async def whole(ground: Ground) -> bool:
    return not await ground.faults()


@pytest.mark.same_sql
async def test_what_has_gone_since_it_was_seen_is_not_mended(database: Database) -> None:
    ground = await broken_ground(database)
    async with database.transaction() as db:
        standing = await db.fetchval("select id from difference where kind = 'total_differs'")
        await db.execute("update server set cores_claimed = 1")
        assert await mend_one(db, standing) is None
        assert await mend_one(db, standing + 900) is None
        assert await db.fetchval("select count(*) from difference where mended_at is not null") == 0
    assert await ground.claimed() == (1, 1)


@pytest.mark.same_sql
async def test_a_mend_that_fails_in_the_middle_leaves_all_as_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = await broken_ground(database)

    async def dies(*_: object) -> None:
        raise RuntimeError("killed between the mend and its commit")

    with monkeypatch.context() as patched:
        patched.setattr("regiond.reconciler.store.keep_mended", dies)
        assert await Reconciler(database, every_s=0.0).sweep() == ()
    assert await ground.claimed() == (7, 1)
    assert len(await Reconciler(database, every_s=0.0).sweep()) == 1
    assert await ground.claimed() == (1, 1)


@pytest.mark.same_sql
async def test_a_difference_seen_for_a_moment_only_waits_for_the_next_sweep(database: Database) -> None:
    await broken_ground(database)
    assert await Reconciler(database, every_s=300.0).sweep() == ()  # three sweeps, and all within seconds
    await Reconciler(database).check()
    assert len(await Reconciler(database, every_s=0.0).sweep()) == 1


@pytest.mark.same_sql
async def test_what_a_person_was_to_approve_is_seen_by_two_more_sweeps_before_it_is_mended_by_itself(
    database: Database,
) -> None:
    by_itself = Difference(
        kind=Kind.STATE_UNEXPLAINED, key="machine 1", name="vm", found="composing, and no operation acts on it",
        expected="ready", remedy="undone", ours=True, data_at_risk=False, mended_by=By.ITSELF,
    )  # fmt: skip
    async with database.transaction() as db:
        for seen, due in ((evolve(by_itself, mended_by=By.APPROVAL), 0), (by_itself, 0), (by_itself, 1)):
            await store.see(db, [seen])
            assert len(await store.due(db, 0.0, at_host=())) == due


@pytest.mark.same_sql
async def test_callers_go_on_claiming_within_bounds_while_totals_are_broken_and_mended(database: Database) -> None:
    ground, reconciler, callers, each = await without_guests(database), Reconciler(database, every_s=0.0), 16, 10
    await ground.execute("update server set cores = 160, memory_mib = 100000")
    mended: list[Standing] = []

    async def caller(number: int) -> int:
        return sum([await ground.claim(number % 2, 1, 1, {}) is not None for _ in range(each)])

    async def breaks_and_mends() -> None:
        while len(mended) < 2:
            async with database.connection() as db:  # too much, so that no claim made meanwhile is one too many
                await db.execute("update server set cores_claimed = cores_claimed + 3")
            mended.extend([one for _ in range(2) for one in await reconciler.sweep()])

    async with asyncio.timeout(60):
        made, _ = await asyncio.gather(asyncio.gather(*map(caller, range(callers))), breaks_and_mends())
    while await ground.faults():
        await reconciler.sweep()
    assert await ground.claimed() == (sum(made), sum(made))
    left = 160 - sum(made)
    late = await asyncio.gather(*(ground.claim(number % 2, 1, 1, {}) for number in range(left + 1)))
    assert sum(one is not None for one in late) == left
