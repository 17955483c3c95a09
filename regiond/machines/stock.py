"""Ends that a machine is stock when somebody begins to use it: from then on it is given to nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.operation_kinds import OperationKind
from common.values import PowerAction
from regiond.db.pool import Db
from regiond.events.service import Events
from regiond.machines import lifecycle_store
from regiond.machines.model import EndedStock, MachineView
from regiond.machines.values.power import AFTER_HOST

IN_USE = "machine_in_use"
GENERATION = "generation"  # key of the request: that of the machine once the operation has begun to use it
STARTED_ELSEWHERE = "it was started by other means"


def use_begun_by(kind: OperationKind, request: Mapping[str, Any]) -> str | None:
    """Returns in words why an operation is a use of its machine; None if it is none. Its guest may get content."""
    match kind:
        case OperationKind.POWER if request["action"] != PowerAction.OFF and not request.get(AFTER_HOST):
            return "it is started"
        case OperationKind.DEPLOY:
            return "it is deployed"
        case OperationKind.INSERT_ISO:
            return "it gets an ISO image"
        case OperationKind.ADD_DISK if request["kept"] is not None:
            return "it gets a disk that was kept"
        case _:
            return None


def generation_of_use(machine: MachineView) -> dict[str, int]:
    """Returns the part of a request with the generation that the guest gets before a use; empty if it has that.

    A machine that was started by other means is in use before its guest has a generation of that use.
    """
    if machine.is_stock:
        return {GENERATION: machine.generation + 1}
    on_host = machine.generation_on_host
    return {GENERATION: machine.generation} if on_host is not None and on_host < machine.generation else {}


async def begin_use(
    db: Db, machine_id: int, why: str, *, account_id: int | None = None, operation_id: int | None = None
) -> None:
    """Records that the machine is used, as its next generation, with an event if it was stock. Idempotent."""
    ended = await lifecycle_store.end_stock(db, machine_id, account_id)
    if ended is not None:
        await record_end(db, ended, why, account_id=account_id, operation_id=operation_id)


async def record_end(
    db: Db, ended: EndedStock, why: str, *, account_id: int | None = None, operation_id: int | None = None
) -> None:
    """Records the event of a machine that is stock no longer."""
    whose = f"{ended.made_by}, who made it, and to administrators" if ended.made_by else "administrators"
    await Events.record(
        db, IN_USE, f"{ended.hostname} is in use now, no longer stock, and belongs to {whose}: {why}",
        account_id=account_id, username=ended.used_by, host_id=ended.host_id, system_id=ended.system_id,
        operation_id=operation_id,
    )  # fmt: skip
