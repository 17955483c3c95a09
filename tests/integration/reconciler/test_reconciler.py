"""Detection in a whole deployment: each injected fault is reported once, and nothing else is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from attrs import define, field
from prometheus_client import CollectorRegistry

from common.errors import DatabaseUnavailable
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.metrics.checks import CheckMetrics
from regiond.reconciler.model import CheckOutcome, DiscrepancyKind
from regiond.reconciler.service import Reconciler
from regiond.reconciler.store import try_sweep_lock
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import adopt, refresh, rows
from tests.integration.support.discrepancies import EXPIRE_LEASE, MOVE_CLAIMS, kinds, kinds_after_refresh, row_of
from tests.integration.support.tables import sql
from tests.postgresql.database import execute
from tests.support.rejections import invalid_fields
from tests.support.waiting import eventually

pytestmark = pytest.mark.database


async def reported(innkeeper: Deployment) -> list[tuple[str, str]]:
    """Events about discrepancies, the oldest first."""
    events = await innkeeper.region.components.services.events.list()
    return [(one.kind, one.details["kind"]) for one in events[::-1] if one.kind.startswith("discrepancy_")]


@define
class FaultCheck:
    """Expects one discrepancy, the same one again, and none after the fault is corrected."""

    innkeeper: Deployment
    expected: list[tuple[str, str]] = field(factory=list)  # the events of all faults so far

    async def by_sql(self, kind: str, broken: str, repaired: str, *values: object) -> Any:
        await sql(self.innkeeper, broken, *values)
        return await self.until(kind, lambda: sql(self.innkeeper, repaired, *values))

    async def until(self, kind: str, correct: Callable[[], Awaitable[Any]]) -> Any:
        (found,) = await self.innkeeper.get("discrepancies/")
        assert found["kind"] == kind, found
        (again,) = await self.innkeeper.get("discrepancies/")
        assert (again["id"], again["first_seen_at"]) == (found["id"], found["first_seen_at"])
        await correct()
        assert await self.innkeeper.get("discrepancies/") == []
        self.expected += [("discrepancy_found", kind), ("discrepancy_resolved", kind)]
        return found


TOTAL = "update server set cores_claimed = cores_claimed {} 5 where id = (select server_id from vm_host where id = $1)"
STATE = "update machine set state = '{}' where id = $1"
HOST_STATE = "update vm_host set state = '{}' where id = $1"
REMOVED_HOST = """
    insert into vm_host (name, driver, address, system_id, state) values ('h', 'virsh', 'a', 's', 'removing')
"""
HOLDER = "update ip_address set machine_id = $1 {}"
ADDRESS = "update ip_address set address = '{}' where machine_id = $1"


async def test_a_check_is_of_what_exists_or_is_rejected(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    broken, intact = [await innkeeper.compose(host["id"]) for _ in range(2)]
    await sql(innkeeper, STATE.format("deleting"), (await row_of(innkeeper, broken))["id"])
    assert await kinds(innkeeper, machine=broken["system_id"]) == ["state_without_operation"]
    assert await kinds(innkeeper, machine=intact["system_id"]) == []
    assert await kinds(innkeeper, host=host["id"], kind="wrong_total") == []
    no_host = {"host": ["There is no VM host 99."]}
    assert await invalid_fields(innkeeper.get("discrepancies/?host=99")) == no_host
    no_machine = {"machine": ["There is no machine 'gone12'."]}
    assert await invalid_fields(innkeeper.get("discrepancies/?machine=gone12")) == no_machine
    assert list(await invalid_fields(innkeeper.get("discrepancies/?kind=missing"))) == ["kind"]
    assert list(await invalid_fields(innkeeper.get("discrepancies/?hots=1"))) == ["hots"]


async def test_each_broken_row_is_reported_once_until_it_is_corrected(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(networks="lan:10.1.0.0/24")
    far = await innkeeper.add_simulated("far")
    composed = await innkeeper.compose(host["id"], cores=2, interfaces="eth0:subnet=10.1.0.0/24,ip=10.1.0.9")
    machine = (await row_of(innkeeper, composed))["id"]
    faults = FaultCheck(innkeeper)
    await faults.by_sql("wrong_total", TOTAL.format("+"), TOTAL.format("-"), host["id"])
    await faults.by_sql("state_without_operation", STATE.format("deleting"), STATE.format("ready"), machine)
    removing = HOST_STATE.format("removing"), HOST_STATE.format("ready")
    assert (await faults.by_sql("state_without_operation", *removing, far["id"]))["host_name"] == "far"
    outside = ADDRESS.format("10.9.0.9"), ADDRESS.format("10.1.0.9")
    assert "10.1.0.0/24" in (await faults.by_sql("address_outside_subnet", *outside, machine))["expected"]
    assert await reported(innkeeper) == faults.expected

    await sql(innkeeper, MOVE_CLAIMS, machine, far["id"])
    assert {*await kinds(innkeeper)} == {"orphaned_claim", "wrong_total"}
    assert await kinds(innkeeper, host=far["id"], kind="orphaned_claim") == ["orphaned_claim"]
    assert await kinds(innkeeper, host=host["id"], kind="orphaned_claim") == []
    await sql(innkeeper, MOVE_CLAIMS, machine, host["id"])
    await sql(innkeeper, "update machine set cores = 3 where id = $1", machine)
    assert await kinds(innkeeper) == ["machine_changed", "wrong_claims"]
    assert await kinds_after_refresh(innkeeper, host) == []


async def test_an_address_of_a_device_on_no_machine_is_not_released(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(networks="lan:10.1.0.0/24")
    device = await innkeeper.post("devices/", mac_addresses="52:54:00:aa:00:01", hostname="printer")
    nic = f"nodes/{device['system_id']}/interfaces/{device['interface_set'][0]['id']}/"
    await innkeeper.post(nic, op="link_subnet", mode="STATIC", subnet="10.1.0.0/24", ip_address="10.1.0.9")
    moved = "update subnet set cidr = '10.{0}.0.0/24' where cidr = '10.{1}.0.0/24'"
    found = await FaultCheck(innkeeper).by_sql("address_outside_subnet", moved.format(2, 1), moved.format(1, 2))
    assert found["found"] == "printer has an address outside 10.2.0.0/24"
    assert (found["repair_policy"], found["remedy"]) == ("none", "Correct the subnet, or link the device to it again.")


async def test_concurrent_sweeps_report_a_discrepancy_once(database: Database) -> None:
    regions = [Reconciler(database, first_after_s=0.0, every_s=0.01, auto_repair=False) for _ in range(3)]
    await execute(database, REMOVED_HOST)
    for region in regions:
        region.start()
    found = await asyncio.gather(*(Reconciler(database).check() for _ in range(4)))
    assert [[one.discrepancy.kind for one in each] for each in found] == [[DiscrepancyKind.STATE_WITHOUT_OPERATION]] * 4
    await execute(database, "delete from vm_host")

    async def is_resolved() -> bool:
        return len(await Events(database).list()) == 2

    await eventually(is_resolved)
    await asyncio.gather(*(region.stop() for region in regions))
    assert [event.kind for event in await Events(database).list()] == ["discrepancy_resolved", "discrepancy_found"]


async def test_each_check_is_counted_with_its_outcome(database: Database) -> None:
    registry = CollectorRegistry()
    reconciler = Reconciler(database, auto_repair=False, on_check=CheckMetrics(registry, CheckOutcome).ended)

    def counted() -> list[float | None]:
        name = "innkeeper_ledger_checks_total"
        return [registry.get_sample_value(name, {"outcome": one}) for one in ("completed", "skipped", "failed")]

    def last() -> float:
        return registry.get_sample_value("innkeeper_ledger_last_check_timestamp_seconds") or 0.0

    async with database.transaction() as db:
        assert await try_sweep_lock(db)
        await reconciler.sweep()
        assert (counted(), last()) == ([0, 1, 0], 0)
        await reconciler.check()  # one that somebody asked for waits for no other
    assert counted() == [1, 1, 0]
    assert last() > 0
    completed_at = last()
    database.reject_all("test: the database is down")
    with pytest.raises(DatabaseUnavailable):
        await reconciler.sweep()
    assert (counted(), last()) == ([1, 1, 1], completed_at)


@pytest.mark.needs_owner
async def test_rows_that_constraints_forbid_are_reported_too(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(networks="lan:10.1.0.0/24")
    composed = await innkeeper.compose(host["id"], interfaces="eth0:subnet=10.1.0.0/24,ip=10.1.0.9")
    machine = (await row_of(innkeeper, composed))["id"]
    await sql(innkeeper, "alter table claim drop constraint claim_machine_id_fkey")
    await sql(innkeeper, "alter table ip_address drop constraint ip_address_machine_id_fkey")
    faults = FaultCheck(innkeeper)
    await faults.by_sql("orphaned_address", HOLDER.format("+ 900"), HOLDER.format("+ 0"), machine)
    await sql(innkeeper, "update claim set machine_id = $1 + 900", machine)
    assert await kinds(innkeeper) == ["machine_without_claims", "orphaned_claim"]
    await sql(innkeeper, "update claim set machine_id = $1", machine)
    assert await kinds(innkeeper) == []


@pytest.mark.slow
async def test_each_change_at_the_hypervisor_is_reported_until_undone(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    far = await innkeeper.add_simulated("far", guests=1)
    composed = await innkeeper.compose(host["id"], hostname="fox")
    uuid = (await innkeeper.get(f"machines/{composed['system_id']}/"))["hardware_uuid"]
    installation_id = (await sql(innkeeper, "select id from installation"))[0]["id"]
    faults = FaultCheck(innkeeper)
    marker = "update guest set installation_id = ?, machine_id = ? where name = 'foreign-0001'"

    async def set_marker(machine: str | None) -> None:
        rows(innkeeper, marker, str(installation_id) if machine else None, machine, name="far")
        await refresh(innkeeper, far)

    await set_marker(uuid)
    copy = await faults.until("duplicate_guest", lambda: set_marker(None))
    assert (copy["name"], copy["system_id"], copy["data_at_risk"]) == ("foreign-0001", composed["system_id"], True)
    await set_marker(str(uuid4()))
    unknown = await faults.until("unknown_guest", lambda: set_marker(None))
    assert "adopts" in unknown["remedy"]
    rows(innkeeper, marker, str(uuid4()), uuid, name="far")  # of another installation
    assert await kinds_after_refresh(innkeeper, far) == []
    (row,) = rows(innkeeper, "select * from guest where name = 'fox'")
    rows(innkeeper, "delete from guest where name = 'fox'")
    await refresh(innkeeper, host)

    async def restore_guest() -> None:
        rows(innkeeper, f"insert into guest values ({', '.join('?' * len(row))})", *row)  # noqa: S608 # only placeholders
        await refresh(innkeeper, host)

    missing = await faults.until("machine_missing", restore_guest)
    assert missing["since"] is not None
    assert (await innkeeper.get(f"machines/{composed['system_id']}/"))["status_name"] == "Ready"
    assert await reported(innkeeper) == faults.expected

    rows(innkeeper, "delete from guest where name = 'fox'")
    await refresh(innkeeper, host)
    await set_marker(uuid)
    assert await kinds(innkeeper, host=far["id"]) == ["guest_on_other_host"]
    await set_marker(None)
    await restore_guest()
    assert await kinds(innkeeper) == []

    await set_marker(str(lost := uuid4()))
    await sql(
        innkeeper, "insert into tombstone (machine_uuid, hostname, host_name, reason, was_composed) "
        "values ($1, 'old', 'far', 'its compose failed', false)", lost
    )  # fmt: skip
    assert await kinds(innkeeper) == ["leftover_guest"]
    await refresh(innkeeper, far)  # opens the removal
    await eventually(lambda: not innkeeper.simulated_guests("far"))
    assert await kinds_after_refresh(innkeeper, far) == []


@pytest.mark.slow
async def test_operations_without_progress_are_reported(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()

    async def is_consistent() -> bool:
        return not await kinds(innkeeper)

    with innkeeper.held("create volume"):
        operation = await innkeeper.begin_compose(host["id"], hostname="fox")
        await eventually(lambda: sql(innkeeper, "select 1 from operation where step = 'compose_on_host'"))
        assert await kinds(innkeeper) == []
        await sql(innkeeper, "update operation_log set at = at - interval '1 hour'")
        await sql(innkeeper, "update operation set created_at = now() - interval '1 hour', started_at = null")
        assert await kinds(innkeeper) == ["operation_stuck"]
        await sql(innkeeper, EXPIRE_LEASE, operation)
        assert await kinds(innkeeper) == ["lease_expired"]
        await sql(innkeeper, "update operation set not_before = now() where id = $1", operation)
        await eventually(is_consistent)


async def expect_none_until_done(innkeeper: Deployment, *requests: asyncio.Task[Any]) -> None:
    """Expects no discrepancy while the requests run, and their success."""
    while not all(request.done() for request in requests):
        assert await innkeeper.get("discrepancies/") == []
    await asyncio.gather(*requests)


@pytest.mark.slow
async def test_running_operations_and_healthy_machines_are_not_reported(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=3, cores=16, delay_ms=10)
    composing = [asyncio.create_task(innkeeper.compose(host["id"], hostname=f"m{number}")) for number in range(4)]
    adopting = asyncio.create_task(adopt(innkeeper, host, all="true"))
    await expect_none_until_done(innkeeper, *composing, adopting)
    composed = [task.result()["system_id"] for task in composing]
    adopted = [one["system_id"] for one in adopting.result()]
    await innkeeper.post("machines/", op="allocate", system_id=composed[0])
    await innkeeper.post(f"machines/{composed[1]}/", op="mark_broken")
    changes = (
        innkeeper.delete(f"machines/{composed[2]}/"),
        innkeeper.post(f"machines/{composed[0]}/", op="release"),
        innkeeper.post(f"machines/{composed[3]}/", op="power_on"),
        *(innkeeper.post(f"machines/{one}/", op="forget") for one in adopted[:2]),
    )
    await expect_none_until_done(innkeeper, *(asyncio.create_task(change) for change in changes))
    assert await innkeeper.get("discrepancies/") == []
    assert await sql(innkeeper, "select * from discrepancy") == []
    removing = asyncio.create_task(innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true"))
    await expect_none_until_done(innkeeper, removing)
