"""`machines/{system_id}/?op=usage`."""

from __future__ import annotations

from regiond.api.declaration.endpoint import Call
from regiond.api.resources.shared.lookups import find_machine
from regiond.api.resources.shared.usage import usage_endpoint
from regiond.machines.values.model import MachineView
from regiond.usage.model import UsageView


async def _read(call: Call, history: bool) -> UsageView:
    machine: MachineView = call.target
    return await call.services.usages.of_machine(machine, history=history)


USAGE = usage_endpoint("a machine", find_machine, _read)
