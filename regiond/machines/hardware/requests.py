"""Opens operations that change the hardware of a machine, or tells what they would change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from attrs import frozen

from regiond.db.pool import Database, Db
from regiond.machines.core import view_store
from regiond.machines.core.ownership_rules import check_may_change
from regiond.machines.values.model import MachineView
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation
from regiond.operations.service import Operations
from regiond.racks.calls.host_calls import HostCalls
from regiond.requests.caller import Caller

T = TypeVar("T")
Open = Callable[[Db], Awaitable[tuple[int, T]]]  # opens the operation in the transaction; returns its id, and the plan


@frozen
class HardwareRequests:
    """Every operator of its pool may change a machine without owner."""

    database: Database
    operations: Operations
    calls: HostCalls

    async def start(
        self,
        caller: Caller,
        system_id: str,
        open_: Open[Any],
        *,
        idempotency_key: IdempotencyKey | None,
        need_rack: bool,
    ) -> Operation:
        """Returns the operation that `open_` opens, or the one of an earlier request with this key.

        Raises the errors of `open_`, and with `need_rack` NotFound, NotAllowed and RackUnreachable.
        """

        async def in_transaction(db: Db) -> int:
            operation_id, _ = await open_(db)
            await idempotency_service.tie_key(db, idempotency_key, operation_id)
            return operation_id

        async def opened() -> int:
            if need_rack:
                await self._require_rack(caller, system_id)
            return await self.database.in_transaction(in_transaction)

        return await self.operations.idempotent(idempotency_key, opened)

    async def plan(self, open_: Open[T]) -> T:
        """Returns the plan of what `open_` would change, and changes nothing. Raises its errors."""

        async def in_transaction(db: Db) -> T:
            _, plan = await open_(db)
            return plan

        return await self.database.in_transaction(in_transaction, dry_run=True)

    async def _require_rack(self, caller: Caller, system_id: str) -> None:
        async with self.database.connection() as db:
            machine = await changeable(db, caller, system_id)
        if machine.host_id is not None:
            await self.calls.require(machine.host_id)


async def changeable(db: Db, caller: Caller, system_id: str) -> MachineView:
    """Returns the machine. Raises NotFound, and NotAllowed as `check_may_change`."""
    machine = await view_store.read(db, system_id, caller=caller)
    check_may_change(caller, machine)
    return machine
