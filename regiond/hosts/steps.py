"""The operations of a host: refresh it, remove it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from common.errors import DriverFailed
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import schedule_store, store
from regiond.hosts.refresh import AGAIN_S, Refresher
from regiond.operations.model import Operation, OperationKind
from regiond.operations.work import Journal, Outcome
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db


class RefreshHost:
    """An asked-for refresh. It fails at once when the host cannot be reached: who asked wants to know."""

    kind = OperationKind.REFRESH

    def __init__(self, refresher: Refresher) -> None:
        self._refresher = refresher

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        host_id = operation.host_id
        if host_id is None:
            return Outcome(result={"because": "the host was removed"})
        await journal.step("discover")
        look = await self._refresher.look(host_id)

        async def record(db: Db) -> None:
            await self._refresher.take_in(db, host_id, look)

        result = {"guests": len(look.found.guests), "problems": len(look.found.problems), "calls": look.found.calls}
        return Outcome(result=result, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Nothing was changed; the host says why it could not be taken in, until another look: this may come late, when
        the region that looked has died."""
        host_id, code = operation.host_id, operation.error_code
        if host_id is None or code is None or operation.cancel_requested:
            return Outcome()

        async def record(db: Db) -> None:
            await store.set_unreachable(db, host_id, code, operation.error_message or "")
            await schedule_store.refresh_soon(db, host_id, AGAIN_S)

        return Outcome(record=record)


class HostMachines(Protocol):
    """What removing a host needs of the machines on it."""

    async def destroy_all(self, operation: Operation) -> Sequence[str]:
        """Open a delete operation for each machine that has none yet; the failures so far, in words.

        Raises Busy while some are still under way.
        """

    async def forget_all(self, db: Db, host_id: int) -> int:
        """Records and claims go, guests stay; how many. Raises Busy when an operation acts on one of them."""


class HostClusters(Protocol):
    """What the removal of a cluster member's host means for its cluster."""

    async def leave(self, db: Db, host_id: int) -> None:
        """Before the host goes: its siblings do not bring it back."""

    async def drop_empty(self, db: Db) -> None:
        """After it: a cluster without hosts is forgotten."""


class RemoveHost:
    """Its guests stay unless asked otherwise; then each machine is destroyed by an operation of its own first."""

    kind = OperationKind.REMOVE_HOST

    def __init__(self, machines: HostMachines, clusters: HostClusters, calls: HostCalls) -> None:
        self._machines = machines
        self._clusters = clusters
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        host_id = operation.host_id
        if host_id is None:
            return Outcome(result={"because": "the host was removed already"})
        if operation.request["decompose"]:
            await journal.step("destroy_machines")
            failures = await self._machines.destroy_all(operation)
            if failures:
                raise DriverFailed(
                    f"{len(failures)} machines could not be destroyed, so the host is kept: {'; '.join(failures)}",
                    failures=list(failures),
                )

        await journal.step("forget_credentials")
        await self._calls.forget(host_id)

        async def record(db: Db) -> None:
            await store.lock(db, host_id)  # a compose that chose the host just before it was closed has committed now
            forgotten = await self._machines.forget_all(db, host_id)
            await self._clusters.leave(db, host_id)
            await store.delete(db, host_id)
            await self._clusters.drop_empty(db)
            message = f"{operation.host_name} was removed; {forgotten} guests of ours were left running there"
            await Events.record(db, "host_removed", message, host_id=host_id, operation_id=operation.id)

        return Outcome(record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """The host is offered again; what was destroyed stays so."""
        host_id = operation.host_id

        async def record(db: Db) -> None:
            if host_id is None:
                return
            await store.set_offered(db, host_id)
            message = f"{operation.host_name} was not removed: {operation.error_message}"
            await Events.record(
                db, "host_removal_failed", message, level=Level.ERROR, host_id=host_id, operation_id=operation.id
            )

        return Outcome(undone=("the host is kept",), record=record)
