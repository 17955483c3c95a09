"""Schedules that are worth trying each time: each has a step that goes wrong when one guard is taken away."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from regiond.reconciler.model import Kind
from tests.database import memory_folder
from tests.faults.schedules.ground import Ground
from tests.faults.schedules.machine import Schedules


def a_copy_of_what_was_deleted(schedule: Schedules) -> None:
    """Kept away by: the tombstone."""
    schedule.an_installation(machines=1, racks=1)
    schedule.guest_is_copied_with_its_mark(host=0, which=1, to=1)
    schedule.delete(which=0, then="runs")


def a_straggler_of_a_rack_that_was_removed(schedule: Schedules) -> None:
    """It makes the guest after the undoing, which went another way. Kept away by: the tombstone."""
    schedule.an_installation(machines=0, racks=2)
    schedule.compose(
        host=0, cores=1, memory_mib=1024, storage="root:4", interfaces="", power_on=False, then="begun"
    )  # the rack is asked whether it reaches the host
    schedule.host_acts_and_answers(which=0)
    schedule.rack_is_removed(which=0, late=True)
    schedule.cancel(which=0, late=False)
    schedule.time_passes()
    schedule.all_that_is_due_runs()
    assert schedule.seen.open == ()
    schedule.straggler_acts(which=0)
    assert len(list(schedule.seen.marked())) == 1


def a_look_from_before_a_machine_was_there(schedule: Schedules) -> None:
    """Kept away by: what has changed since a look began is left to the next one."""
    schedule.an_installation(machines=0, racks=1)
    schedule.look(host=0, runs=False)
    schedule.compose(host=0, cores=1, memory_mib=1024, storage="root:4", interfaces="", power_on=True, then="runs")
    schedule.what_is_under_way_ends(which=0)
    assert [row.state for row in schedule.seen.machines.values()] == ["ready"]


def an_attempt_that_was_taken_over(schedule: Schedules) -> None:
    """It hears of the host while another is about the same. Kept away by: the attempt's number in what it writes."""
    schedule.an_installation(machines=1, racks=1)
    schedule.delete(which=0, then="begun")
    schedule.lease_lapses(which=0)
    schedule.begin(which=0)
    schedule.what_is_under_way_ends(which=0)
    assert schedule.seen.machines
    schedule.all_that_is_due_runs()
    assert not schedule.seen.machines


def a_foreign_guest_by_the_name_of_a_machine(schedule: Schedules) -> None:
    """Kept away by: guests are known by their mark."""
    schedule.an_installation(machines=1, racks=1)
    schedule.guest_is_removed(host=0, which=1, with_volumes=True)
    schedule.foreign_guest_comes(host=0, cores=1, memory_mib=1024, disk_gb=2, pins=(), named="as_machine", which=0)
    schedule.delete(which=0, then="runs")
    assert not schedule.seen.machines


def a_host_that_dies_between_the_disks(schedule: Schedules) -> None:
    """The machine is made on another one, and what it left is removed. Kept away by: volumes of what was given up."""
    schedule.an_installation(machines=0, racks=1)
    schedule.allocate(cores=2, then="begun")
    schedule.host_dies(host="ant", after_calls=2)
    schedule.what_is_under_way_ends(which=0)
    for _ in range(6):
        schedule.time_passes()
        schedule.all_that_is_due_runs()


def an_approval_of_what_is_another_by_now(schedule: Schedules) -> None:
    """Somebody was shown which of two guests with a mark loses it, and then the other one changed. Kept away by: the
    etag."""
    schedule.an_installation(machines=1, racks=1)
    schedule.guest_is_copied_with_its_mark(host=0, which=1, to=1)
    schedule.look(host=1, runs=True)
    schedule.person_looks_at_differences()
    assert [one.difference.kind for one in schedule.shown] == [Kind.SECOND_GUEST]
    schedule.guest_is_renamed(host=0, which=1)
    schedule.look(host=0, runs=True)
    schedule.person_approves(which=0, then="runs")
    assert sorted(host for host, _, _ in schedule.seen.marked()) == ["ant", "bee"]


def what_is_approved_of_a_machine_that_is_gone(schedule: Schedules) -> None:
    """First its row goes, then its volumes, whose removal a region begins and another ends."""
    schedule.an_installation(machines=1, racks=1)
    schedule.guest_is_removed(host=0, which=1, with_volumes=False)
    for then in ("runs", "begun", "begun"):
        schedule.look(host=0, runs=True)
        schedule.person_looks_at_differences()
        schedule.person_approves(which=0, then=then)
        if then == "begun":
            schedule.host_acts(which=0)
            schedule.region_restarts(late=False, told=True)
            schedule.all_that_is_due_runs()
    assert not schedule.seen.machines
    assert [one.name for _, one in schedule.seen.volumes() if one.machine is not None] == []


KNOWN = (
    a_copy_of_what_was_deleted,
    a_straggler_of_a_rack_that_was_removed,
    a_look_from_before_a_machine_was_there,
    an_attempt_that_was_taken_over,
    a_foreign_guest_by_the_name_of_a_machine,
    a_host_that_dies_between_the_disks,
    an_approval_of_what_is_another_by_now,
    what_is_approved_of_a_machine_that_is_gone,
)


@pytest.mark.same_sql
async def test_schedules_that_are_known_to_matter_leave_everything_as_it_has_to_be(
    postgres_server: str, template: str
) -> None:
    with tempfile.TemporaryDirectory(dir=memory_folder()) as made:
        ground = Ground(folder=Path(made), server=postgres_server, template=template)
        try:
            for steps in KNOWN:
                await asyncio.to_thread(_tried, steps, ground, asyncio.get_running_loop())
        finally:
            await ground.close()


def _tried(steps: Callable[[Schedules], None], on: Ground, in_loop: asyncio.AbstractEventLoop) -> None:
    class Known(Schedules):
        loop = in_loop
        ground = on

    schedule = Known()
    try:
        steps(schedule)
    except BaseException:
        schedule.broken = True
        raise
    finally:
        schedule.teardown()
