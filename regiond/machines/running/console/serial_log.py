"""Has a rack read the output of a guest to its serial port."""

from __future__ import annotations

from common.rpc.commands.console_commands import HOST_CONSOLE_LOG, MAX_CONSOLE_LOG_BYTES, ConsoleLogCall
from common.values import GuestRef
from regiond.machines.running.console.text import last_lines, plain_text
from regiond.racks.calls.host_calls import HostCalls

LOG_DEADLINE_S = 20.0


async def read_text(calls: HostCalls, host_id: int, ref: GuestRef) -> str:
    """Returns the end of the serial output as plain text.

    Raises Unsupported if the host stores no output of this guest, NotFound without the guest, and the errors of every
    host call.
    """
    return plain_text(await _read(calls, host_id, ref))


async def read_last_lines(calls: HostCalls, host_id: int, ref: GuestRef) -> str:
    """As `read_text`, but returns only a few lines, without empty ones."""
    return last_lines(await _read(calls, host_id, ref))


async def _read(calls: HostCalls, host_id: int, ref: GuestRef) -> bytes:
    found = await calls.call(
        host_id,
        HOST_CONSOLE_LOG,
        lambda access: ConsoleLogCall(access=access, guest=ref, max_bytes=MAX_CONSOLE_LOG_BYTES),
        deadline_s=LOG_DEADLINE_S,
    )
    return found.content
