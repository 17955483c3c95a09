"""Power events of a hypervisor, which can arrive after the operation that caused them."""

from __future__ import annotations

from common.values import GuestChange, GuestEvent, PowerState
from regiond.machines.service import Machines
from tests.deployment.deployment import Deployment
from tests.integration.tables import sql

_LONG_AGO = "update machine set settled_at = now() - interval '1 minute' returning id"


async def test_a_late_power_event_does_not_overwrite_an_operation(innkeeper: Deployment) -> None:
    """A power cycle: the event of the first change can arrive after the second change is recorded."""
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="vm", power_on="true")
    await innkeeper.stop_rack("rack")  # no discovery run corrects the power state
    path, machines = f"machines/{machine['system_id']}/", innkeeper.region.components.services.machines
    assert isinstance(machines, Machines)
    off = GuestChange(event=GuestEvent.POWER, guest_name="vm", guest_id="vm", power=PowerState.OFF)
    needs_refresh = await machines.guest_changed(host["id"], off)
    assert (needs_refresh, (await innkeeper.get(path))["power_state"]) == (True, "on")
    await sql(innkeeper, _LONG_AGO)
    assert await machines.guest_changed(host["id"], off)
    assert (await innkeeper.get(path))["power_state"] == "off"
    answer = await innkeeper.api.send("GET", "events/", query=[("op", "query"), ("id", machine["system_id"])])
    changes = [event["description"] for event in answer.json()["events"] if event["kind"] == "machine_power_changed"]
    assert changes == ["vm: its power state changed from on to off on sim"]
