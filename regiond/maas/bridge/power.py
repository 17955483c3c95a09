"""Answers a MAAS that asks for the power of a registered machine, or changes it."""

from __future__ import annotations

from contextlib import suppress

from attrs import frozen

from common.errors import Busy, DatabaseUnavailable, InnkeeperError, NotAuthenticated, OperationPending
from common.values import PowerAction
from common.words.operation_kinds import OperationKind
from regiond.audit.model import AuditAnswer, AuditRequest, AuditResult
from regiond.audit.service import Audit
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.maas.bridge import registration_store
from regiond.maas.bridge.model import PowerAnswer, PowerResult, is_token
from regiond.maas.bridge.registration_store import SwitchedMachine
from regiond.machines.service import Machines
from regiond.operations.model import Operation
from regiond.operations.service import Operations

REGISTERED_WITHIN_S = 5.0  # MAAS may switch a machine on while it answers the request that registers it


@frozen
class MaasPower:
    """The power of registered machines, for MAAS. What it answers of a state is what the region has recorded."""

    database: Database
    machines: Machines
    operations: Operations
    audit: Audit

    async def query(self, power_id: str, token: str, *, address: str, request_id: str) -> PowerAnswer:
        """Returns the state of the machine. Calls no host. Raises NotAuthenticated for a wrong secret."""
        machine = await self._authenticated(power_id, token, "query", address, request_id)
        return _gone() if machine is None else PowerAnswer(result=PowerResult.DONE, power=machine.power_state)

    async def switch(
        self, power_id: str, token: str, action: PowerAction, *, address: str, request_id: str
    ) -> PowerAnswer:
        """Returns at once: what it begins continues as an operation, which further requests for the same join.

        Also a machine that has the state as recorded is switched, because the record may be old; the host then finds
        that nothing is to be done. Raises NotAuthenticated for a wrong secret.
        """
        machine = await self._authenticated(power_id, token, action.value, address, request_id)
        if machine is None:
            return _gone()
        if machine.operation_kind == OperationKind.REGISTER and machine.operation_id is not None:
            await self._wait(machine.operation_id)
            machine = await self._machine(power_id)
            if machine is None:
                return _gone()
        if machine.gets(action):
            return PowerAnswer(result=PowerResult.DONE, power=machine.power_state)
        try:
            operation = await self.machines.start_power(None, machine.system_id, action)
        except DatabaseUnavailable:
            raise
        except InnkeeperError as error:
            if isinstance(error, Busy) and await self._is_begun(power_id, action):
                return PowerAnswer(result=PowerResult.DONE)
            await self._record(machine, action, address, request_id, error=error)
            return PowerAnswer(result=PowerResult.REFUSED, reason=error.message)
        await self._record(machine, action, address, request_id, operation=operation)
        return PowerAnswer(result=PowerResult.DONE, power=machine.power_state)

    async def _authenticated(
        self, power_id: str, token: str, action: str, address: str, request_id: str
    ) -> SwitchedMachine | None:
        """Returns the machine, None for one that is gone. A wrong secret is recorded, as other strangers are."""
        async with self.database.connection() as db:
            found = await registration_store.switched(db, power_id)
        if found is None:
            return None
        if not is_token(token, found.token_hash):
            error = NotAuthenticated("This is not the secret of the machine.")
            request = _request(found, action, None, address, request_id)
            await self.audit.record(request, AuditAnswer(result=AuditResult.REJECTED, error=error.code))
            raise error
        return None if found.machine_id is None else found

    async def _machine(self, power_id: str) -> SwitchedMachine | None:
        async with self.database.connection() as db:
            found = await registration_store.switched(db, power_id)
        return None if found is None or found.machine_id is None else found

    async def _is_begun(self, power_id: str, action: PowerAction) -> bool:
        """Whether a request at the same time has begun the same."""
        found = await self._machine(power_id)
        return found is not None and found.gets(action)

    async def _wait(self, operation_id: int) -> None:
        with suppress(OperationPending):
            await self.operations.wait(operation_id, timeout_s=REGISTERED_WITHIN_S)

    async def _record(
        self,
        machine: SwitchedMachine,
        action: PowerAction,
        address: str,
        request_id: str,
        *,
        operation: Operation | None = None,
        error: InnkeeperError | None = None,
    ) -> None:
        """Records the change as that of the server: it has no account here."""
        by = f"MAAS server {machine.server}"
        request = _request(machine, action.value, by, address, request_id)
        answer = AuditAnswer(
            result=AuditResult.OK if error is None else AuditResult.REJECTED,
            error=None if error is None else error.code,
            operation_id=None if operation is None else operation.id,
        )
        await self.audit.record(request, answer)
        if operation is not None:
            async with self.database.transaction() as db:
                message = f"{machine.hostname}: the {by} has asked to power it {action.value}"
                await Events.record(
                    db, "maas_power", message, username=by, host_id=operation.host_id, system_id=machine.system_id,
                    operation_id=operation.id,
                )  # fmt: skip


def _request(machine: SwitchedMachine, action: str, by: str | None, address: str, request_id: str) -> AuditRequest:
    return AuditRequest(
        action=f"MaasPower.{action}", username=by, credential="power token", address=address, request_id=request_id,
        object=f"machines/{machine.system_id}", object_name=machine.hostname,
    )  # fmt: skip


def _gone() -> PowerAnswer:
    return PowerAnswer(
        result=PowerResult.GONE,
        reason="Innkeeper has no such machine any more: it was deleted, forgotten, or is no longer registered.",
    )
