"""`machines/{id}/?op=console_log`: what a machine's guest has written to its serial port."""

from __future__ import annotations

from regiond.api.endpoint import Call, Endpoint, Permission, Result
from regiond.api.field_types import Boolean
from regiond.api.fields import Field
from regiond.api.replies import Reply, text_reply
from regiond.api.resources.lookups import find_machine
from regiond.machines.model import MachineView


async def _log(call: Call) -> Reply:
    machine: MachineView = call.target
    consoles = call.services.consoles
    read = consoles.of_failure if call.values["of_failed_deployment"] else consoles.log
    return text_reply(await read(call.caller, machine.system_id))


LOG = Endpoint(
    method="GET",
    op="console_log",
    permission=Permission.OWNER,
    title="Read the console log of a machine",
    doc=(
        "The end, at most 64 KiB, of what the virtual machine has written to its serial port since its last start, as "
        "plain text without control characters and escape sequences. It may show secrets. 400 if the host keeps no "
        "such log of this virtual machine."
    ),
    fields=(
        Field(
            name="of_failed_deployment",
            type=Boolean(),
            default=False,
            doc="Answer the last lines before the deployment failed instead; empty if it did not fail.",
        ),
    ),
    result=Result(doc="The text (text/plain)."),
    find=find_machine,
    expensive=True,
    run=_log,
)
