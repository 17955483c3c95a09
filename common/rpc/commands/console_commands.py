"""Commands of a region to a rack for the consoles of guests. Released commands only grow."""

from __future__ import annotations

from attrs import field, frozen

from common.rpc.commands.command import Command, Done
from common.rpc.commands.host_commands import GuestCall


@frozen(kw_only=True)
class ConsoleLogCall(GuestCall):
    """Asks for the last `max_bytes`, at most MAX_CONSOLE_LOG_BYTES, of a guest's serial output."""

    max_bytes: int


@frozen(kw_only=True)
class ConsoleLog:
    """The guest's output, with its control characters and escape sequences."""

    content: bytes = field(repr=False)


@frozen(kw_only=True)
class ConsoleCall(GuestCall):
    """Opens the console of a guest. `console_id`, which the region chooses, names it in `ConsoleInput`."""

    console_id: str


@frozen(kw_only=True)
class ScreenCall(GuestCall):
    """Opens a connection to the screen of a guest. `console_id`, as in `ConsoleCall`, names it in `ConsoleInput`."""

    console_id: str


@frozen(kw_only=True)
class ConsoleOutput:
    """A part of the guest's output, at most CONSOLE_PART_BYTES. The first is empty: the console is open."""

    data: bytes = field(repr=False)


@frozen(kw_only=True)
class ConsoleInput:
    """Input that the user typed, at most CONSOLE_PART_BYTES. Raises NotFound once the console has ended."""

    console_id: str
    data: bytes = field(repr=False)


MAX_CONSOLE_LOG_BYTES = 64 * 1024
CONSOLE_PART_BYTES = 16 * 1024
HOST_CONSOLE = Command("host.console", ConsoleCall, ConsoleOutput, streams=True, endless=True)  # until it is cancelled
HOST_SCREEN = Command("host.screen", ScreenCall, ConsoleOutput, streams=True, endless=True)  # as above; nothing is lost
HOST_CONSOLE_INPUT = Command("host.console_input", ConsoleInput, Done)
HOST_CONSOLE_LOG = Command("host.console_log", ConsoleLogCall, ConsoleLog)
