"""Compose on the host that was chosen, and on the next one when that host cannot. May start again from any line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from common.errors import Cancelled, InnkeeperError, InternalError, NoneAvailable, RackUnreachable, rebuild
from common.rpc.commands import HOST_COMPOSE, HOST_REACH, ComposeCall, HostCall
from common.values import PowerAction
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts.service import record_guest
from regiond.ledger import store as ledger
from regiond.machines import compose_store, life_store, store
from regiond.machines.moving import NextHosts, intent_of
from regiond.machines.opening import open_clean_up
from regiond.machines.steps import Target, bury, forget, remove_guest, set_power
from regiond.operations import store as operation_store
from regiond.operations.model import Operation, OperationKind
from regiond.operations.work import Journal, Outcome, fence_of
from regiond.placement.model import HostOffer
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

REACH_DEADLINE_S = 30.0
COMPOSE_DEADLINE_S = 110.0
MAX_HOSTS = 5  # that one compose tries
PATIENCE = 4  # failures to reach a host, with pauses of some seconds in all, before another one is tried

_SAME_ANYWHERE = (Cancelled.code, InternalError.code)  # a person's wish, or a bug of ours


class NextHost(Protocol):
    """See `regiond.machines.moving.Mover`."""

    async def next_hosts(self, operation: Operation, tried: Collection[int]) -> NextHosts | None: ...
    async def move(
        self, db: Db, operation: Operation, machine_id: int, found: NextHosts, tried: Collection[Mapping[str, Any]]
    ) -> HostOffer: ...


class ComposeMachine:
    """Follows the claim: the host is chosen and paid for, the guest may not exist yet."""

    kind = OperationKind.COMPOSE

    def __init__(self, calls: HostCalls, mover: NextHost) -> None:
        self._calls = calls
        self._mover = mover

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        """Undone at once when the host cannot be reached for long and another one would do."""
        try:
            return await self._make(operation, journal)
        except InnkeeperError as error:
            if error.retryable and operation.failures >= PATIENCE and await self._another_would_do(operation):
                return Outcome(refused=error)
            raise

    async def _make(self, operation: Operation, journal: Journal) -> Outcome:
        target = Target.of(operation)
        if not operation.reached_host:  # a host that cannot be had is found out before anything there may have begun
            await self._calls.call(
                target.host_id, HOST_REACH, lambda access: HostCall(access=access), deadline_s=REACH_DEADLINE_S
            )
        await journal.step("compose_on_host", reaches_host=True, hostname=target.spec.name)
        fence = fence_of(operation, str(target.spec.mark.machine_id))
        guest = await self._calls.call(
            target.host_id,
            HOST_COMPOSE,
            lambda access: ComposeCall(access=access, spec=target.spec, fence=fence),
            deadline_s=COMPOSE_DEADLINE_S,
        )
        power = guest.power
        if operation.request.get("power_on"):
            await journal.step("power_on", reaches_host=True)
            power = await set_power(self._calls, operation, target, PowerAction.ON)

        async def record(db: Db) -> None:
            await record_guest(db, target.host_id, guest, target.machine_id, power)
            await store.set_power(db, target.machine_id, power.value)
            await life_store.made(db, target.machine_id)
            message = f"{target.spec.name} was composed on {operation.host_name}"
            await Events.record(
                db, "machine_composed", message, host_id=target.host_id, system_id=target.system_id,
                operation_id=operation.id,
            )  # fmt: skip

        return Outcome(result={"system_id": target.system_id, "hostname": target.spec.name}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Nothing stays on the host. Then the next host in the order is begun with, or else the machine is over."""
        if operation.machine_id is None:
            return Outcome()
        target = Target.of(operation)
        undone, left = await self._remove(operation, target, journal)
        tried = _tried(operation, target)
        found = None
        if _may_go_on(operation):
            await journal.write("give_back_claims", lambda db: _give_back(db, target.machine_id))
            found = await self._next_hosts(operation, tried)
        if found is not None and found.alternatives and len(tried) < MAX_HOSTS:
            return self._send_on(operation, target, tried, found, [*undone, "claims given back"], left=left)
        return self._give_up(operation, target, tried, found, [*undone, "claims given back"], left=left)

    async def _another_would_do(self, operation: Operation) -> bool:
        if not _may_go_on(operation):
            return False
        tried = _tried(operation, Target.of(operation))
        try:
            found = await self._mover.next_hosts(operation, [one["host_id"] for one in tried])
        except RackUnreachable:
            return False
        return found is not None and bool(found.alternatives) and len(tried) < MAX_HOSTS

    async def _next_hosts(self, operation: Operation, tried: list[dict[str, Any]]) -> NextHosts | None:
        """Racks come back after a region has started again, and are waited for as long as the compose itself would."""
        try:
            return await self._mover.next_hosts(operation, [one["host_id"] for one in tried])
        except RackUnreachable:
            if operation.failures < operation.max_failures:
                raise
            return None

    async def _remove(self, operation: Operation, target: Target, journal: Journal) -> tuple[list[str], bool]:
        """What was undone, and whether something may be left there for later: a host that cannot be had now, or does
        not do it, does not keep the machine from another one."""
        if not operation.reached_host:
            return [], False
        await journal.step("remove_half_made_guest", reaches_host=True)
        try:
            await remove_guest(self._calls, operation, target)
        except InnkeeperError as error:
            if not _may_go_on(operation):
                raise
            await journal.note("what is there is removed later, by an operation of its own", reason=error.message)
            return ["guest and volumes are removed when the host can be had"], True
        return ["guest and volumes removed from the host"], False

    def _send_on(
        self,
        operation: Operation,
        target: Target,
        tried: list[dict[str, Any]],
        found: NextHosts,
        undone: list[str],
        *,
        left: bool,
    ) -> Outcome:
        async def record(db: Db) -> None:
            await _bury(db, operation, target, left=left)
            host = await self._mover.move(db, operation, target.machine_id, found, tried)
            message = f"{target.spec.name} was not composed on {operation.host_name}: {operation.error_message}"
            await Events.record(
                db, "compose_sent_on", f"{message} It goes on on {host.name}.", level=Level.WARNING,
                host_id=target.host_id, system_id=target.system_id, operation_id=operation.id,
            )  # fmt: skip

        return Outcome(undone=tuple(undone), record=record, sent_on=True)

    def _give_up(
        self,
        operation: Operation,
        target: Target,
        tried: list[dict[str, Any]],
        found: NextHosts | None,
        undone: list[str],
        *,
        left: bool,
    ) -> Outcome:
        error = _told_of_all(operation, target, tried, found)

        async def record(db: Db) -> None:
            if left:
                await _clean_up_later(db, operation, target)
            await forget(db, operation, target, "its compose failed")
            if error is not None:
                await operation_store.explain(db, operation.id, {**(operation.explanation or {}), "tried": tried})
            message = f"{target.spec.name} was not composed on {operation.host_name}: {operation.error_message}"
            await Events.record(
                db, "compose_failed", message, level=Level.WARNING, host_id=target.host_id,
                system_id=target.system_id, operation_id=operation.id,
            )  # fmt: skip

        return Outcome(undone=(*undone, "machine record removed"), record=record, error=error)


def _may_go_on(operation: Operation) -> bool:
    return (
        "intent" in operation.request
        and not operation.cancel_requested
        and (operation.error_code not in _SAME_ANYWHERE)
    )


def _tried(operation: Operation, target: Target) -> list[dict[str, Any]]:
    """The hosts that could not make it, in their order, with this one as the last."""
    before = list((operation.explanation or {}).get("tried", ()))
    this = {"host": operation.host_name, "host_id": target.host_id, "error": operation.error_message or ""}
    return [*before, this]


def _told_of_all(
    operation: Operation, target: Target, tried: list[dict[str, Any]], found: NextHosts | None
) -> InnkeeperError | None:
    """The reasons of every host; None when the operation's own error says all that there is to say."""
    intent = intent_of(operation)
    allocated = intent is not None and intent.agent_name is not None
    if not _may_go_on(operation) or (len(tried) == 1 and not allocated):
        return None
    reasons = [f"{one['host']}: {one['error']}" for one in tried]
    others = {one["host_id"] for one in tried}
    if found is not None:
        refused = [verdict for verdict in found.placement.refused if verdict.host_id not in others]
        reasons += [f"{verdict.host_name}: {verdict.reasons[0]}" for verdict in refused]
        reasons += [f"{hosts} more: {reason}" for reason, hosts in found.placement.left_out.items()]
    what = (
        "No available machine matches constraints, and none could be composed."
        if allocated
        else (f"{target.spec.name} could not be composed on any host.")
    )
    message = f"{what} {' | '.join(reasons)}"
    if allocated:
        return NoneAvailable(message, tried=tried)
    return rebuild(operation.error_code or InternalError.code, message, {"tried": tried})


async def _give_back(db: Db, machine_id: int) -> None:
    await ledger.release_machine(db, machine_id)
    await compose_store.strip(db, machine_id)


async def _bury(db: Db, operation: Operation, target: Target, *, left: bool) -> None:
    """The mark that the machine had there is over: what still comes to light with it is ours to remove."""
    await bury(db, operation, target, f"it goes on elsewhere: {operation.error_message}")
    if left:
        await _clean_up_later(db, operation, target)


async def _clean_up_later(db: Db, operation: Operation, target: Target) -> None:
    await open_clean_up(db, target.host_id, operation.host_name or "", target.spec.ref, target.volumes)
