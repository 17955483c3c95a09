"""Reads what the guests of machines write to their serial ports."""

from __future__ import annotations

from uuid import UUID

from common.errors import NotFound
from regiond.caller import Caller
from regiond.db.pool import Database
from regiond.machines import view_store
from regiond.machines.console.serial_log import read_text
from regiond.machines.deployment import store as deployment_store
from regiond.machines.guest_spec import known_spec
from regiond.machines.model import MachineView
from regiond.permissions import Permission, check_object
from regiond.racks.service import HostCalls


class Consoles:
    """A console may show secrets: only the owner of a machine, as an operator of its pool, and administrators see it.

    Every method raises NotFound, and NotAllowed.
    """

    def __init__(self, database: Database, calls: HostCalls, *, installation_id: UUID) -> None:
        self._database = database
        self._calls = calls
        self._installation_id = installation_id

    async def log(self, caller: Caller, system_id: str) -> str:
        """Returns the end of the guest's serial output since its last start, as plain text.

        Raises Unsupported if the host keeps none of this guest, RackUnreachable, HostUnreachable.
        """
        machine = await self._read(caller, system_id)
        if machine.host_id is None:
            raise NotFound(f"{machine.hostname} is on no host.")
        ref = known_spec(machine, self._installation_id).ref
        return await read_text(self._calls, machine.host_id, ref)

    async def of_failure(self, caller: Caller, system_id: str, *, operation_id: int | None = None) -> str:
        """Returns the last lines before the deployment of the machine failed; empty if there are none.

        With `operation_id` only those of the deployment by this operation.
        """
        machine = await self._read(caller, system_id)
        async with self._database.connection() as db:
            return await deployment_store.console_of_failure(db, machine.id, operation_id=operation_id)

    async def _read(self, caller: Caller, system_id: str) -> MachineView:
        async with self._database.connection() as db:
            machine = await view_store.read(db, system_id, caller=caller)
        check_object(Permission.OWNER, caller, machine)
        return machine
