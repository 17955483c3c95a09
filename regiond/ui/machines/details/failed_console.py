"""The last lines of the console of a VM whose deployment failed."""

from __future__ import annotations

from regiond.machines.core.ownership_rules import may_act
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState
from regiond.ui.rendering.page import Visit


async def failed_console(visit: Visit, machine: MachineView, *, operation_id: int | None = None) -> str:
    """The last lines of the console before its deployment failed; empty if the visitor may not see them."""
    if machine.state is not MachineState.FAILED_DEPLOYMENT or not may_act(visit.caller, machine):
        return ""
    return await visit.services.consoles.of_failure(visit.caller, machine.system_id, operation_id=operation_id)
