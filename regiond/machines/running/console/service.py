"""The consoles of machines: the output of their guests, and connections to port and screen."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from uuid import UUID

from common.errors import DatabaseUnavailable, InnkeeperError, NotAllowed, NotFound
from common.rpc.commands.console_commands import HOST_CONSOLE, HOST_SCREEN, ConsoleCall, ScreenCall
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.machines.core import view_store
from regiond.machines.core.guest_spec import known_spec
from regiond.machines.core.stock import begin_use
from regiond.machines.running.console import store
from regiond.machines.running.console.activity import SpiceActivity, VncActivity
from regiond.machines.running.console.connection import ConsoleConnection, Terminal
from regiond.machines.running.console.limits import DEFAULT_LIMITS, ConsoleLimits, OpenConsoles
from regiond.machines.running.console.screens import OpenScreens
from regiond.machines.running.console.serial_log import read_text
from regiond.machines.values.model import MachineView
from regiond.machines.values.screens import ScreenProtocol
from regiond.racks.calls.host_calls import HostCalls
from regiond.requests.caller import Caller, Permission, check_object

OPEN_DEADLINE_S = 40.0
_LOST = "The connection was lost."

StillCaller = Callable[[Caller], Awaitable[Caller | None]]
StillOpen = Callable[[], Awaitable[bool]]


class Consoles:
    """Consoles. They may show secrets: only a machine's owner, as an operator of its pool, and administrators see one.

    Every method raises NotFound, and NotAllowed.
    """

    def __init__(
        self,
        database: Database,
        calls: HostCalls,
        *,
        installation_id: UUID,
        still: StillCaller,
        limits: ConsoleLimits = DEFAULT_LIMITS,
    ) -> None:
        """`still` returns an authenticated caller with its present roles; None once its key or account has ended."""
        self._database = database
        self._calls = calls
        self._installation_id = installation_id
        self._still = still
        self.limit(limits)

    def limit(self, limits: ConsoleLimits) -> None:
        """Sets the limits of consoles that are opened from now on; consoles that are open now are not counted."""
        self._limits = limits
        self._open = OpenConsoles(limits)
        self._screens = OpenScreens(self._open)

    async def log(self, caller: Caller, system_id: str) -> str:
        """Returns the end of the guest's serial output since its last start, as plain text.

        Raises Unsupported if the host stores no output of this guest, RackUnreachable, HostUnreachable.
        """
        machine = await self._read(caller, system_id)
        if machine.host_id is None:
            raise NotFound(f"{machine.hostname} is on no host.")
        ref = known_spec(machine, self._installation_id).ref
        return await read_text(self._calls, machine.host_id, ref)

    async def of_failure(self, caller: Caller, system_id: str, *, operation_id: int | None = None) -> str:
        """Returns the last lines before the deployment of the machine failed; empty if there are none.

        With `operation_id`, only the lines of the deployment by this operation.
        """
        machine = await self._read(caller, system_id)
        async with self._database.connection() as db:
            return await store.of_failure(db, machine.id, operation_id=operation_id)

    async def connect(self, caller: Caller, system_id: str, terminal: Terminal, *, still_open: StillOpen) -> str:
        """Connects the terminal to the console of the guest. Returns what ended the connection: a side, or a limit.

        `still_open` returns whether the user is still logged in, and is called from time to time. Raises Busy beyond
        the limits or while another user has the console, WrongState while the guest is off, and errors of a host call.
        """
        machine = await self._read(caller, system_id)
        if machine.host_id is None:
            raise NotFound(f"{machine.hostname} is on no host.")
        ref, console_id = known_spec(machine, self._installation_id).ref, secrets.token_hex(16)
        with self._open.place(caller.account_id):
            stream = await self._calls.open_stream(
                machine.host_id,
                HOST_CONSOLE,
                lambda access: ConsoleCall(access=access, guest=ref, console_id=console_id),
                opens_within_s=OPEN_DEADLINE_S,
                deadline_s=self._limits.longest_s + OPEN_DEADLINE_S,
            )
            reason = _LOST
            try:
                text = f"The console of {machine.hostname} was opened"
                await self._record(caller, machine, "console_opened", text, use="its console was opened")
                connection = ConsoleConnection(stream, terminal, console_id, self._limits)
                reason = await connection.run(lambda: self._still_allowed(caller, system_id, still_open))
            except InnkeeperError as error:
                reason = error.message
                raise
            finally:
                await stream.close()
                text = f"The console of {machine.hostname} was closed: {reason}"
                await self._record(caller, machine, "console_closed", text)
        return reason

    async def connect_screen(
        self, caller: Caller, system_id: str, terminal: Terminal, *, screen: str, still_open: StillOpen
    ) -> str:
        """Connects a viewer to the screen of the guest, as `connect` does: with VNC, or with one channel of SPICE.

        All connections of an account to a machine with the same `screen` count, begin and end as one; empty: one of
        its own. Raises Unsupported if the guest has no screen.
        """
        machine = await self._read(caller, system_id)
        if machine.host_id is None:
            raise NotFound(f"{machine.hostname} is on no host.")
        ref, console_id = known_spec(machine, self._installation_id).ref, secrets.token_hex(16)
        is_vnc = machine.screen_protocol is ScreenProtocol.VNC
        with self._screens.connection((caller.account_id, system_id, screen or console_id)) as shown:
            stream = await self._calls.open_stream(
                machine.host_id,
                HOST_SCREEN,
                lambda access: ScreenCall(access=access, guest=ref, console_id=console_id),
                opens_within_s=OPEN_DEADLINE_S,
                deadline_s=self._limits.longest_s + OPEN_DEADLINE_S,
            )
            reason = _LOST
            try:
                if shown.begins():
                    text = f"The screen of {machine.hostname} was opened"
                    await self._record(caller, machine, "screen_opened", text, use="its screen was opened")
                activity = VncActivity() if is_vnc else SpiceActivity()
                connection = ConsoleConnection(
                    stream, terminal, console_id, self._limits, noun="screen", use=shown.use, activity=activity
                )
                reason = await connection.run(lambda: self._still_allowed(caller, system_id, still_open))
            except InnkeeperError as error:
                reason = error.message
                raise
            finally:
                await stream.close()
                if shown.ends():
                    text = f"The screen of {machine.hostname} was closed: {reason}"
                    await self._record(caller, machine, "screen_closed", text)
        return reason

    async def _still_allowed(self, caller: Caller, system_id: str, still_open: StillOpen) -> bool:
        try:
            now = await self._still(caller)
            if now is None or not await still_open():
                return False
            await self._read(now, system_id)
        except (NotFound, NotAllowed):
            return False
        except DatabaseUnavailable:  # while it is unavailable, no permissions change
            return True
        return True

    async def _record(
        self, caller: Caller, machine: MachineView, kind: str, message: str, *, use: str | None = None
    ) -> None:
        """Records the event, and that the machine is used, if that is a `use`: what is typed there stays."""
        async with self._database.transaction() as db:
            if use is not None and machine.is_stock:
                await begin_use(db, machine.id, use, account_id=caller.account_id)
            await Events.record(db, kind, message, caller=caller, host_id=machine.host_id, system_id=machine.system_id)

    async def _read(self, caller: Caller, system_id: str) -> MachineView:
        async with self._database.connection() as db:
            machine = await view_store.read(db, system_id, caller=caller)
        check_object(Permission.OWNER, caller, machine)
        return machine
