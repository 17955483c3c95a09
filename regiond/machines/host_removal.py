"""Deletes or detaches the machines of a host that is being removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from common.errors import Busy, NotFound
from regiond.db.pool import Database
from regiond.hosts import service as host_service
from regiond.ledger import service as ledger
from regiond.machines import store
from regiond.machines.adoption import detached_store
from regiond.machines.lifecycle import MachineEvent
from regiond.machines.model import MachineView
from regiond.machines.operation_intents import open_operation
from regiond.operations import service as operation_service
from regiond.operations.model import Operation, OperationKind, OperationState

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class MachinesOfRemovedHost:
    """Implements `HostMachines` of `regiond.hosts.steps`."""

    def __init__(self, database: Database, *, installation_id: UUID) -> None:
        self._database = database
        self._installation_id = installation_id

    async def delete_machines(self, operation: Operation) -> Sequence[str]:
        if operation.host_id is None:
            return ()
        async with self._database.connection() as db:
            machines = await store.of_host(db, operation.host_id)
            children = await operation_service.list_operations(db, parent_id=operation.id, limit=10_000)
        deletions = {child.machine_id: child for child in children if child.machine_id is not None}
        failures: list[str] = []
        pending = 0
        for machine in machines:
            deletion = deletions.get(machine.id)
            if deletion is None or not deletion.state.ended:
                pending += 1
                if deletion is None:
                    await self._open_deletion(operation, machine)
            elif deletion.state is not OperationState.SUCCEEDED:
                failures.append(f"{machine.hostname}: {deletion.error_message}")
        if pending:
            raise Busy(f"{pending} machines on {operation.host_name} are still being deleted.", machines=pending)
        return failures

    async def detach_machines(self, db: Db, host_id: int) -> int:
        """If another host is on the same server, the guests take over the claims: they still use the server."""
        machines = await store.of_host(db, host_id)
        await detached_store.detach(db, host_id)
        shared = await host_service.shares_server(db, host_id)
        end_claims = host_service.detach_guest if shared else ledger.release_machine
        for machine in machines:
            active = await operation_service.active(db, OperationKind.POWER, machine_id=machine.id)
            if active is not None:
                raise Busy(f"Operation {active.id} still acts on {machine.hostname}.", operation=active.id)
            await end_claims(db, machine.id)
            await store.delete(db, machine.id)
        return len(machines)

    async def _open_deletion(self, parent: Operation, machine: MachineView) -> None:
        """Skips a machine that another operation acts on; the next attempt of the parent tries again."""
        try:
            async with self._database.transaction() as db:
                await open_operation(
                    db, OperationKind.DELETE, machine, self._installation_id, account_id=parent.account_id,
                    begins=MachineEvent.DELETE, parent_id=parent.id,
                )  # fmt: skip
        except (Busy, NotFound) as error:
            log.info("machine_deletion_postponed", system_id=machine.system_id, reason=error.message)
