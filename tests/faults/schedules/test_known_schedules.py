"""Fixed schedules; each breaks an invariant if its guard is removed from the product."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.values import PowerState
from regiond.racks.calls.slow_calls import SLOW_AFTER_S
from regiond.reconciler.model import DiscrepancyKind
from tests.faults.schedules.database_reset import ResettableDatabase
from tests.faults.schedules.schedule import Schedules
from tests.postgresql.database import memory_folder
from tests.support.clock import advance
from tests.support.waiting import settle


def copy_of_a_deleted_machine(schedule: Schedules) -> None:
    """It may be restored. Guard: the id of the deleted guest in the tombstone."""
    schedule.a_deployment(machines=1, racks=1)
    schedule.guest_is_copied_with_its_marker(host=0, which=1, to=1)
    schedule.delete(which=0, then="runs")
    schedule.periodic_refresh(host=1, runs=True)
    schedule.run_everything_due()
    assert len(list(schedule.snapshot.marked())) == 1
    schedule.list_discrepancies()
    assert [one.discrepancy.kind for one in schedule.listed] == [DiscrepancyKind.LEFTOVER_GUEST]
    schedule.approve(which=0, then="runs")
    schedule.run_everything_due()
    assert list(schedule.snapshot.marked()) == []


def stale_call_of_a_removed_rack(schedule: Schedules) -> None:
    """It creates the guest after the operation was undone through another rack. Guard: the tombstone."""
    schedule.a_deployment(machines=0, racks=2)
    schedule.compose(host=0, cores=1, memory_mib=1024, storage="root:4", interfaces="", power_on=False, then="begun")
    schedule.rack_is_removed(which=0, late=True)
    schedule.cancel(which=0, late=False)
    schedule.time_passes()
    schedule.run_everything_due()
    assert schedule.snapshot.open == ()
    schedule.stale_call_acts(which=0)
    assert len(list(schedule.snapshot.marked())) == 1


def stale_call_on_a_removed_host(schedule: Schedules) -> None:
    """It creates the guest again after its machine and host were removed. Guard: the tombstone, which has no host."""
    schedule.a_deployment(machines=0, racks=1)
    schedule.compose(host=1, cores=1, memory_mib=1024, storage="root:4", interfaces="", power_on=False, then="begun")
    schedule.region_restarts(late=True, same_computer=True)
    schedule.rack_is_removed(which=0, late=False)
    schedule.rack_joins()
    schedule.run_everything_due()
    schedule.remove_host(host=1, decompose=True, destroy_adopted=False, then="runs")
    while schedule.snapshot.open:
        schedule.time_passes()
        schedule.run_everything_due()
    assert "bee" not in schedule.snapshot.host_ids
    schedule.stale_call_acts(which=0)
    assert len(list(schedule.snapshot.marked())) == 1
    schedule.add_host()
    schedule.run_everything_due()
    assert "bee" in schedule.snapshot.host_ids
    assert list(schedule.snapshot.marked()) == []


def deletion_whose_rack_was_removed(schedule: Schedules) -> None:
    """Its call may still run in the removed rack. Guard: the limit of the wait for that call."""
    schedule.a_deployment(machines=1, racks=1)
    schedule.delete(which=0, then="begun")
    schedule.rack_is_removed(which=0, late=True)
    schedule.rack_joins()
    schedule.run_everything_due()
    assert schedule.snapshot.machines
    schedule.time_passes()
    schedule.run_everything_due()
    assert not schedule.snapshot.machines


def slow_schedule(schedule: Schedules) -> None:
    """On a busy machine, calls wait for the schedule until the region asks whether their host still answers."""
    schedule.a_deployment(machines=0, racks=1)
    schedule.compose(host=0, cores=1, memory_mib=1024, storage="root:4", interfaces="", power_on=False, then="begun")
    schedule.do(advance(SLOW_AFTER_S))
    schedule.do(advance(0.0))  # until its question has been asked
    schedule.activity_finishes(which=0)
    assert [row.state for row in schedule.snapshot.machines.values()] == ["ready"]


def discovery_run_older_than_the_machine(schedule: Schedules) -> None:
    """Guard: what changed since a discovery run began is left to the next one."""
    schedule.a_deployment(machines=0, racks=1)
    schedule.periodic_refresh(host=0, runs=False)
    schedule.compose(host=0, cores=1, memory_mib=1024, storage="root:4", interfaces="", power_on=True, then="runs")
    schedule.activity_finishes(which=0)
    assert [row.state for row in schedule.snapshot.machines.values()] == ["ready"]


def attempt_that_was_taken_over(schedule: Schedules) -> None:
    """It receives the host's answer while another attempt runs. Guard: the attempt's number in each write."""
    schedule.a_deployment(machines=1, racks=1)
    schedule.delete(which=0, then="begun")
    schedule.lease_expires(which=0)
    schedule.begin(which=0)
    schedule.activity_finishes(which=0)
    assert schedule.snapshot.machines
    schedule.run_everything_due()
    assert not schedule.snapshot.machines


def foreign_guest_with_the_name_of_a_machine(schedule: Schedules) -> None:
    """Guard: guests are recognised by their marker."""
    schedule.a_deployment(machines=1, racks=1)
    schedule.guest_is_removed(host=0, which=1, with_volumes=True)
    schedule.foreign_guest_comes(host=0, cores=1, memory_mib=1024, disk_gb=2, pins=(), named="as_machine", which=0)
    schedule.delete(which=0, then="runs")
    assert not schedule.snapshot.machines


def host_that_fails_after_a_disk(schedule: Schedules) -> None:
    """The machine is composed on another host, and the disk is removed. Guard: the volumes of the tombstone."""
    schedule.a_deployment(machines=0, racks=1)
    schedule.allocate(cores=2, then="begun")
    schedule.host_fails(host="ant", after_calls=2)
    schedule.activity_finishes(which=0)
    for _ in range(6):
        schedule.time_passes()
        schedule.run_everything_due()


def approval_of_a_changed_discrepancy(schedule: Schedules) -> None:
    """After the list showed which of two marked guests loses its marker, the other one changed. Guard: the etag."""
    schedule.a_deployment(machines=1, racks=1)
    schedule.guest_is_copied_with_its_marker(host=0, which=1, to=1)
    schedule.periodic_refresh(host=1, runs=True)
    schedule.list_discrepancies()
    assert [one.discrepancy.kind for one in schedule.listed] == [DiscrepancyKind.DUPLICATE_GUEST]
    schedule.guest_is_renamed(host=0, which=1)
    schedule.periodic_refresh(host=0, runs=True)
    schedule.approve(which=0, then="runs")
    assert sorted(host for host, _, _ in schedule.snapshot.marked()) == ["ant", "bee"]


def approvals_for_a_missing_machine(schedule: Schedules) -> None:
    """First its row is deleted, then its volumes, whose removal one region begins and another ends."""
    schedule.a_deployment(machines=1, racks=1)
    schedule.guest_is_removed(host=0, which=1, with_volumes=False)
    for then in ("runs", "begun", "begun"):
        schedule.periodic_refresh(host=0, runs=True)
        schedule.list_discrepancies()
        schedule.approve(which=0, then=then)
        if then == "begun":
            schedule.host_acts(which=0)
            schedule.region_restarts(late=False, same_computer=True)
            schedule.run_everything_due()
    assert not schedule.snapshot.machines
    assert [one.name for _, one in schedule.snapshot.volumes() if one.machine is not None] == []


def removal_cancelled_while_it_deletes_machines(schedule: Schedules) -> None:
    """The region is killed during one deletion, the other has not begun. Guard: it cancels the deletions it opened."""
    schedule.a_deployment(machines=4, racks=1)
    host = schedule.hosts[0][0]
    on_host = {uuid for uuid, row in schedule.snapshot.machines.items() if row.host == host}
    assert len(on_host) == 2
    schedule.remove_host(host=0, decompose=True, destroy_adopted=False, then="begun")
    schedule.begin(which=0)
    schedule.host_acts(which=0)
    schedule.cancel(which=0, late=False)
    schedule.region_restarts(late=False, same_computer=False)
    for _ in range(3):
        schedule.time_passes()
        schedule.run_everything_due()
    assert schedule.snapshot.open == ()
    assert len(on_host & schedule.snapshot.machines.keys()) == 1
    schedule.remove_host(host=0, decompose=True, destroy_adopted=False, then="begun")
    while schedule.snapshot.open:
        schedule.run_everything_due()
        schedule.time_passes()
    assert host not in schedule.snapshot.host_ids


def host_removed_by_force_with_work_in_progress(schedule: Schedules) -> None:
    """The answer of a compose arrives after its host was removed. Guard: the removal ends all operations there."""
    schedule.a_deployment(machines=2, racks=1)
    schedule.compose(host=0, cores=1, memory_mib=1024, storage="root:4", interfaces="", power_on=False, then="begun")
    schedule.host_acts(which=0)
    host = schedule.hosts[0][0]
    on_host = {uuid for uuid, row in schedule.snapshot.machines.items() if row.host == host}
    schedule.remove_host_by_force(host=0, dies="first", then="runs")
    assert host not in schedule.snapshot.host_ids
    assert on_host <= schedule.snapshot.detached
    schedule.activity_finishes(which=0)
    assert not on_host & schedule.snapshot.machines.keys()
    assert schedule.snapshot.open == ()


def host_that_answers_again_before_it_is_removed(schedule: Schedules) -> None:
    """Guard: the operation checks the host again."""
    schedule.a_deployment(machines=2, racks=1)
    schedule.remove_host_by_force(host=0, dies="first", then="left")
    schedule.hosts_recover()
    before = schedule.snapshot.machines.keys()
    schedule.run_everything_due()
    assert len(schedule.hosts) == 2
    assert schedule.snapshot.machines.keys() == before


def maintenance_while_a_compose_runs(schedule: Schedules) -> None:
    """The machine comes, and the next one goes elsewhere. Guard: placement knows the maintenance."""
    schedule.a_deployment(machines=0, racks=1)
    schedule.compose(host=0, cores=1, memory_mib=1024, storage="root:4", interfaces="", power_on=False, then="begun")
    schedule.maintenance(host=0, begins=True)
    schedule.activity_finishes(which=0)
    schedule.compose(host=0, cores=1, memory_mib=1024, storage="root:4", interfaces="", power_on=False, then="runs")
    schedule.compose(host=None, cores=1, memory_mib=1024, storage="root:4", interfaces="", power_on=False, then="runs")
    assert sorted(row.host for row in schedule.snapshot.machines.values()) == ["ant", "bee"]


def group_larger_than_the_fleet(schedule: Schedules) -> None:
    """Guard: placement counts the machines that are being composed."""
    schedule.a_deployment(machines=0, racks=1)
    for _ in range(3):
        schedule.compose_in_group(separate=True, strength="", by_allocation=False, then="begun")
    assert sorted(row.host for row in schedule.snapshot.machines.values()) == ["ant", "bee"]


def release_of_a_machine_whose_guest_was_removed(schedule: Schedules) -> None:
    """Before any refresh, and the ledger agrees with itself. Guard: the release also deletes the guest's row."""
    schedule.a_deployment(machines=1, racks=1)
    (row,) = schedule.snapshot.machines.values()
    schedule.allocate(cores=1, then="left")
    schedule.guest_is_removed(host=0, which=1, with_volumes=True)
    assert row.uuid not in {machine for _, _, machine in schedule.snapshot.marked()}
    schedule.release(which=0, then="runs")
    assert [row.state for row in schedule.snapshot.machines.values()] == ["missing"]


def guest_switched_on_by_an_administrator(schedule: Schedules) -> None:
    """Its host does not start it, which is a discrepancy until a sweep repairs it."""
    schedule.a_deployment(machines=1, racks=1)
    for which in (0, 1):
        schedule.guest_is_switched(host=0, which=which, power=PowerState.OFF)
        schedule.guest_is_switched(host=0, which=which, power=PowerState.ON)
    schedule.periodic_refresh(host=0, runs=True)


KNOWN = (
    copy_of_a_deleted_machine,
    stale_call_of_a_removed_rack,
    stale_call_on_a_removed_host,
    deletion_whose_rack_was_removed,
    slow_schedule,
    discovery_run_older_than_the_machine,
    attempt_that_was_taken_over,
    foreign_guest_with_the_name_of_a_machine,
    host_that_fails_after_a_disk,
    approval_of_a_changed_discrepancy,
    approvals_for_a_missing_machine,
    removal_cancelled_while_it_deletes_machines,
    host_removed_by_force_with_work_in_progress,
    host_that_answers_again_before_it_is_removed,
    maintenance_while_a_compose_runs,
    group_larger_than_the_fleet,
    release_of_a_machine_whose_guest_was_removed,
    guest_switched_on_by_an_administrator,
)


@pytest.fixture(scope="module")
def databases(postgres_server: str, template: str) -> Iterator[ResettableDatabase]:
    with tempfile.TemporaryDirectory(dir=memory_folder()) as made:
        opened = ResettableDatabase(folder=Path(made), server=postgres_server, template=template)
        settle(opened.reset())
        yield opened
        settle(opened.close())


@pytest.mark.parametrize("steps", KNOWN, ids=lambda steps: steps.__name__)
async def test_fixed_schedules_keep_the_invariants(
    databases: ResettableDatabase, steps: Callable[[Schedules], None]
) -> None:
    await asyncio.to_thread(_tried, steps, databases, asyncio.get_running_loop())


def _tried(steps: Callable[[Schedules], None], on: ResettableDatabase, in_loop: asyncio.AbstractEventLoop) -> None:
    class Known(Schedules):
        loop = in_loop
        databases = on

    schedule = Known()
    try:
        steps(schedule)
    except BaseException:
        schedule.broken = True
        raise
    finally:
        schedule.teardown()
