"""Ends that a machine is stock when somebody begins to use it: from then on it is given to nobody else."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.events.service import Events
from regiond.machines.core import lifecycle_store
from regiond.machines.values.model import MachineView
from regiond.machines.values.power import EndedStock

IN_USE = "machine_in_use"
STARTED_ELSEWHERE = "it was started by other means"


def generation_of_use(machine: MachineView) -> int | None:
    """Returns the generation that the guest gets before a use; None if it has that.

    A machine that was started by other means is in use before its guest has a generation of that use.
    """
    if machine.is_stock:
        return machine.generation + 1
    on_host = machine.generation_on_host
    return machine.generation if on_host is not None and on_host < machine.generation else None


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
