"""Holds the source of a copy: nothing starts, changes or deletes it until the copy has ended."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import Busy
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.machines.arrivals.compose.model import CopyPlan
from regiond.machines.core import lifecycle_store, view_store
from regiond.operations import store as operation_store
from regiond.operations.model import ActingOperation, busy


async def hold_sources(db: Db, copies: Sequence[CopyPlan]) -> None:
    """Returns when no operation acts on the sources, which stay as they are until the transaction ends.

    The caller holds the locks of their servers, and opens the operations that copy them. Several may copy one source.
    Raises Busy for a source on which an operation is open, or that has changed since it was read.
    """
    for one in sorted(copies, key=lambda copy: copy.source.id):
        source = one.source
        await lifecycle_store.lock_one(db, source.id)
        acting = await operation_store.active(db, OperationKind.COMPOSE, machine_id=source.id)
        if acting is not None:
            of_source = ActingOperation(id=acting.id, kind=acting.kind.value, created_at=acting.created_at)
            raise busy(f"machine {source.hostname}", of_source)
        now = await view_store.read(db, source.system_id)
        facts = ((one.state, one.power_state, one.owner, one.disks, one.host_id) for one in (source, now))
        if len(set(facts)) > 1:
            raise Busy(f"{source.hostname} has just been changed. Try again.")
