"""`machines/{id}/?op=console_log`, `console` and `screen`: a console's log, and connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Boolean, Text
from regiond.api.declaration.fields import Field
from regiond.api.replies import Reply, Terminal, text_reply
from regiond.api.resources.shared.lookups import find_machine
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Permission


async def _log(call: Call) -> Reply:
    machine: MachineView = call.target
    consoles = call.services.consoles
    read = consoles.of_failure if call.values["of_failed_deployment"] else consoles.log
    return text_reply(await read(call.caller, machine.system_id))


async def _connect(call: Call) -> Reply:
    machine: MachineView = call.target

    async def connect(terminal: Terminal, still_open: Callable[[], Awaitable[bool]]) -> str:
        return await call.services.consoles.connect(call.caller, machine.system_id, terminal, still_open=still_open)

    return Reply(status=101, upgrade=connect)


async def _connect_screen(call: Call) -> Reply:
    machine: MachineView = call.target

    async def connect(terminal: Terminal, still_open: Callable[[], Awaitable[bool]]) -> str:
        return await call.services.consoles.connect_screen(
            call.caller, machine.system_id, terminal, screen=call.values["screen"] or "", still_open=still_open
        )

    return Reply(status=101, upgrade=connect)


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
            "of_failed_deployment",
            Boolean(),
            "Answer the last lines before the deployment failed instead; empty if it did not fail.",
            default=False,
        ),
    ),
    result=Result(doc="The text (text/plain)."),
    find=find_machine,
    expensive=True,
    run=_log,
)
CONNECT = Endpoint(
    method="GET",
    op="console",
    permission=Permission.OWNER,
    title="Open the console of a machine",
    doc=(
        "A WebSocket (RFC 6455) to the serial port of the virtual machine: binary messages are input and output. It "
        "ends when the virtual machine does, 30 minutes after the last input, and 8 hours after it was opened; the "
        "last message is a text, JSON with the reason as `ended`. 400 without a WebSocket."
    ),
    result=Result(doc="The connection (101)."),
    success=101,
    find=find_machine,
    expensive=True,
    audited=True,
    run=_connect,
)
SCREEN = Endpoint(
    method="GET",
    op="screen",
    permission=Permission.OWNER,
    title="Open the screen of a machine",
    doc=(
        "A WebSocket (RFC 6455) to the screen of the virtual machine: binary messages are VNC (RFB 3.8) on libvirt and "
        "simulated hosts, and on LXD one channel of SPICE, each of which has its own WebSocket. Neither asks for a "
        "password. It ends as a console does; the last message is a text, JSON with the reason as `ended`. 400 without "
        "a WebSocket, or if the virtual machine has no screen."
    ),
    fields=(
        Field(
            "screen",
            Text(max_length=64, pattern="[A-Za-z0-9-]*"),
            "A text that you choose: connections with the same one are channels of one screen.",
            default="",
        ),
    ),
    result=Result(doc="The connection (101)."),
    success=101,
    find=find_machine,
    expensive=True,
    audited=True,
    run=_connect_screen,
)
