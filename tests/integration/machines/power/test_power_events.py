"""Power events of a hypervisor, which can arrive after the operation that caused them."""

from __future__ import annotations

import pytest

from common.values import GuestChange, GuestEvent, PowerState
from regiond.hosts.schedule_store import refresh_after_event
from regiond.machines.service import Machines
from regiond.operations.engine import OWN_EVENTS_S
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import sql
from tests.support.clock import advance

_JUST_NOW = "update operation set finished_at = clock_timestamp() where not is_open"
_LONG_AGO = "update operation set finished_at = now() - interval '1 minute' where not is_open"
_QUIET = """
    update vm_host_schedule set refreshed_at = now() - interval '1 minute', next_refresh_at = now() + interval '1 h'
"""


async def test_a_late_power_event_does_not_overwrite_an_operation(innkeeper: Deployment) -> None:
    """A power cycle: the event of the first change can arrive after the second change is recorded."""
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="vm", power_on="true")
    await innkeeper.stop_rack("rack")  # no discovery run corrects the power state
    path, machines = f"machines/{machine['system_id']}/", innkeeper.region.components.services.machines
    assert isinstance(machines, Machines)
    off = GuestChange(event=GuestEvent.POWER, guest_name="vm", guest_id="vm", power=PowerState.OFF)
    needs_refresh = await machines.guest_changed(host["id"], off)  # of an operation of this region
    assert (needs_refresh, (await innkeeper.get(path))["power_state"]) == (False, "on")
    await advance(OWN_EVENTS_S)
    await sql(innkeeper, _JUST_NOW)
    needs_refresh = await machines.guest_changed(host["id"], off)  # as of one that another region ran
    assert (needs_refresh, (await innkeeper.get(path))["power_state"]) == (True, "on")
    await sql(innkeeper, _LONG_AGO)
    assert await machines.guest_changed(host["id"], off)
    assert (await innkeeper.get(path))["power_state"] == "off"
    answer = await innkeeper.api.send("GET", "events/", query=[("op", "query"), ("id", machine["system_id"])])
    changes = [event["description"] for event in answer.json()["events"] if event["kind"] == "machine_power_changed"]
    assert changes == ["vm: its power state changed from on to off on sim"]


async def test_events_that_follow_each_other_at_once_all_count(innkeeper: Deployment) -> None:
    """Without waiting for a refresh: who starts a guest after stopping it sees that within a second."""
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="vm", power_on="true")
    await sql(innkeeper, _LONG_AGO)
    await innkeeper.stop_rack("rack")
    await advance(OWN_EVENTS_S)
    machines = innkeeper.region.components.services.machines
    assert isinstance(machines, Machines)
    for power in (PowerState.OFF, PowerState.ON, PowerState.OFF):
        change = GuestChange(event=GuestEvent.POWER, guest_name="vm", power=power)
        await machines.guest_changed(host["id"], change)
        assert (await innkeeper.get(f"machines/{machine['system_id']}/"))["power_state"] == power.value
        (guest,) = await innkeeper.get("virtual-machines/")
        assert guest["power_state"] == power.value


async def test_a_foreign_guest_has_the_power_state_of_its_event(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    (guest,) = await innkeeper.get("virtual-machines/")
    await innkeeper.stop_rack("rack")
    machines = innkeeper.region.components.services.machines
    assert isinstance(machines, Machines)
    (row,) = await sql(innkeeper, "select guest_key, name, power_state from guest")
    other = PowerState.OFF if row["power_state"] == "on" else PowerState.ON
    for guest_id, power in ((row["guest_key"], other), ("", PowerState(row["power_state"])), ("unknown", other)):
        change = GuestChange(event=GuestEvent.POWER, guest_name=row["name"], guest_id=guest_id, power=power)
        await machines.guest_changed(host["id"], change)
        shown = await innkeeper.get(f"virtual-machines/{guest['id']}/")
        assert shown["power_state"] == (row["power_state"] if guest_id == "unknown" else power.value)


async def test_an_event_makes_its_host_due_at_once_then_each_second(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    database = innkeeper.region.components.database
    async with database.transaction() as db:  # in which no time passes, and no refresh comes in between
        await db.execute(_QUIET)
        assert await refresh_after_event(db, host["id"]) == pytest.approx(0.3)
        assert (await refresh_after_event(db, host["id"]) or 0) <= 0.3  # the earlier time stays
        await db.execute(_QUIET)
        await db.execute("update vm_host_schedule set refreshed_at = now()")
        assert await refresh_after_event(db, host["id"]) == pytest.approx(1.0)
        assert await refresh_after_event(db, host["id"] + 1) is None
