"""The hypervisor tells that a guest was switched, perhaps later than what has switched it."""

from __future__ import annotations

from pathlib import Path

from common.values import GuestChange, GuestEvent, PowerState
from regiond.machines.service import Machines
from tests.installation import installed
from tests.integration.test_reconciler import sql

_LONG_AGO = "update machine set settled_at = now() - interval '1 minute' returning id"


async def test_a_late_event_of_what_an_operation_did_does_not_undo_what_it_settled(
    tmp_path: Path, database_url: str
) -> None:
    """Off and on again, as a power cycle does it: the first event may come when the second switch is known already."""
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = await innkeeper.compose(host["id"], hostname="vm", power_on="true")
        await innkeeper.stop_rack("rack")  # no look says what is true meanwhile
        path, machines = f"machines/{made['system_id']}/", innkeeper.region.parts.services.machines
        assert isinstance(machines, Machines)
        off = GuestChange(event=GuestEvent.POWER, guest_name="vm", guest_id="vm", power=PowerState.OFF)
        wants_a_look = await machines.guest_changed(host["id"], off)
        assert (wants_a_look, (await innkeeper.get(path))["power_state"]) == (True, "on")
        await sql(innkeeper, _LONG_AGO)
        assert await machines.guest_changed(host["id"], off)
        assert (await innkeeper.get(path))["power_state"] == "off"
