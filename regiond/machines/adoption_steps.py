"""The operations that put our mark on a guest and take it off. Each may start again from its first line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from common.errors import NameTaken, NotFound, Unsupported
from common.rpc.commands import HOST_ADOPT, HOST_DISOWN, MarkCall
from common.values import Guest, GuestSpec, HostAccess, Mark
from common.wire import from_plain
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import handover
from regiond.machines import adoption_store, life_store, store
from regiond.machines.life import Event
from regiond.operations.model import Operation, OperationKind
from regiond.operations.work import Journal, Outcome, fence_of
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

MARK_DEADLINE_S = 60.0


@frozen(kw_only=True)
class _Marking:
    """Which guest gets or loses which mark, read from the operation's row."""

    operation: Operation
    host_id: int
    machine_id: int
    guest_key: str
    guest_name: str
    mark: Mark

    @classmethod
    def of(cls, operation: Operation) -> _Marking:
        if operation.host_id is None or operation.machine_id is None:
            raise ValueError(f"operation {operation.id} has lost its host or machine")
        request = operation.request
        mark = from_plain(request["mark"], Mark) if "mark" in request else from_plain(request["spec"], GuestSpec).mark
        return cls(
            operation=operation,
            host_id=operation.host_id,
            machine_id=operation.machine_id,
            guest_key=request["guest"]["key"],
            guest_name=request["guest"]["name"],
            mark=mark,
        )

    async def put(self, calls: HostCalls) -> Guest:
        return await calls.call(self.host_id, HOST_ADOPT, self._call, deadline_s=MARK_DEADLINE_S)

    async def take_off(self, calls: HostCalls) -> None:
        await calls.call(self.host_id, HOST_DISOWN, self._call, deadline_s=MARK_DEADLINE_S)

    def _call(self, access: HostAccess) -> MarkCall:
        return MarkCall(
            access=access,
            guest_id=self.guest_key,
            guest_name=self.guest_name,
            mark=self.mark,
            fence=fence_of(self.operation, str(self.mark.machine_id)),
        )


class AdoptGuest:
    """Follows the intent: the machine's row is there, its claims are still the guest's."""

    kind = OperationKind.ADOPT

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        marking = _Marking.of(operation)
        await journal.step("put_mark", reaches_host=True, guest=marking.guest_name)
        guest = await marking.put(self._calls)

        async def record(db: Db) -> None:
            await handover.take_over(db, marking.host_id, guest, marking.machine_id)
            await adoption_store.complete(db, marking.machine_id, guest)
            await store.set_power(db, marking.machine_id, guest.power.value)
            await life_store.happens(db, marking.machine_id, Event.ADOPTED)
            message = f"{guest.name} on {operation.host_name} was adopted as {operation.hostname}"
            await Events.record(
                db, "machine_adopted", message, host_id=marking.host_id, system_id=operation.system_id,
                operation_id=operation.id,
            )  # fmt: skip

        return Outcome(result={"system_id": operation.system_id, "hostname": operation.hostname}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """The guest is foreign as before. A mark that it had before, it keeps."""
        if operation.machine_id is None:
            return Outcome()
        marking = _Marking.of(operation)
        undone = ["machine record removed"]
        if operation.reached_host and not operation.request["was_marked"]:
            await journal.step("take_mark_off", reaches_host=True, guest=marking.guest_name)
            try:
                await marking.take_off(self._calls)
            except Unsupported as error:  # whoever cannot take a mark off has put none on
                await journal.note("no mark was put on", reason=error.message)
            undone.insert(0, "mark taken off the guest")

        async def record(db: Db) -> None:
            await store.delete(db, marking.machine_id)
            message = f"{marking.guest_name} on {operation.host_name} was not adopted: {operation.error_message}"
            await Events.record(
                db, "adopt_failed", message, level=Level.WARNING, host_id=marking.host_id,
                system_id=operation.system_id, operation_id=operation.id,
            )  # fmt: skip

        return Outcome(undone=tuple(undone), record=record)


class ForgetMachine:
    """The mark goes first, then the machine's row; the guest is foreign from then on, and holds its own claims."""

    kind = OperationKind.FORGET

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        marking = _Marking.of(operation)
        await journal.step("take_mark_off", reaches_host=True, guest=marking.guest_name)
        await marking.take_off(self._calls)

        async def record(db: Db) -> None:
            await handover.let_go(db, marking.machine_id, marked=False)
            await store.delete(db, marking.machine_id)
            stays = f"{marking.guest_name} stays on {operation.host_name}"
            was_there = stays if marking.guest_key else f"its guest was not on {operation.host_name}"
            message = f"{operation.hostname} is a machine no more; {was_there}"
            await Events.record(
                db, "machine_let_go", message, host_id=marking.host_id, system_id=operation.system_id,
                operation_id=operation.id,
            )  # fmt: skip

        return Outcome(result={"guest": marking.guest_name}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """The machine is kept, and its guest has the mark again, if it is there."""
        if operation.machine_id is None:
            return Outcome()
        marking = _Marking.of(operation)
        undone = ["the machine is kept"]
        if operation.reached_host:
            await journal.step("put_mark_back", reaches_host=True, guest=marking.guest_name)
            try:
                await marking.put(self._calls)
                undone.insert(0, "mark put on the guest again")
            except (NotFound, NameTaken, Unsupported) as error:  # gone, another's by now, or never taken off
                await journal.note("the mark was not put back", reason=error.message)

        async def record(db: Db) -> None:
            message = f"{operation.hostname} is still a machine: {operation.error_message}"
            await Events.record(
                db, "forget_failed", message, level=Level.WARNING, host_id=marking.host_id,
                system_id=operation.system_id, operation_id=operation.id,
            )  # fmt: skip

        return Outcome(undone=tuple(undone), record=record)
