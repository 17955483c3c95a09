"""Stages 4 and 5, run and record: the compose operation's handler, with undoing and rescheduling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from attrs import frozen

from common.boot import BootOrders
from common.errors import Cancelled, InnkeeperError, InternalError, NoneAvailable, RackUnreachable, rebuild
from common.rpc.commands.host_commands import HOST_COMPOSE, NOTHING_BEGAN, ComposeCall
from common.values import Guest, PowerAction
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.hosts.guest_ownership import record_guest
from regiond.ledger import store as ledger_store
from regiond.machines.arrivals.compose.model import MaasRegistrations
from regiond.machines.arrivals.compose.rescheduling import RescheduleOptions, Rescheduler, stored_intent
from regiond.machines.arrivals.compose.store import clear_devices, leave_host, lock_announced
from regiond.machines.core import lifecycle_store, store
from regiond.machines.core.affinity import store as affinity_store
from regiond.machines.core.generation import write_generation
from regiond.machines.core.operation_intents import open_clean_up
from regiond.machines.core.steps import Target, racks_text, record_event, set_power, wait_for_command
from regiond.machines.leaving.removal.deletion import record_tombstone, remove_guest
from regiond.machines.values.lifecycle import MachineEvent
from regiond.machines.values.requests import StoredCompose
from regiond.operations import store as operation_store
from regiond.operations.handler import Journal, Outcome, fence_of
from regiond.operations.model import Operation
from regiond.placement.affinity import Policy
from regiond.placement.checks import SUMMARY
from regiond.racks.calls.host_calls import HostCalls, nothing_began

COMPOSE_DEADLINE_S = 140.0  # includes up to 30 s for the check that the host is reachable
MAX_HOSTS = 5  # per compose
MOST_NAMED = 5  # rejected hosts in a message; more are counted by what they lack
FAILURES_BEFORE_RESCHEDULING = 4  # retryable ones on one host: some seconds of back-off in total

_SAME_ON_EVERY_HOST = (Cancelled.code, InternalError.code)  # another host would not help


@frozen(kw_only=True)
class _Undone:
    """The state of undoing. `guest_may_remain` if the host could not be cleaned up; `racks` may still create it."""

    steps: tuple[str, ...]
    guest_may_remain: bool
    racks: tuple[str, ...]
    tried: tuple[dict[str, Any], ...]


class GuestCopies(Protocol):
    """Makes guests that begin with the disks of others."""

    async def clone(self, operation: Operation, target: Target, journal: Journal) -> tuple[Guest, BootOrders | None]:
        """Returns the new guest, and what it boots from if that was set. Idempotent."""

    async def record(self, db: Db, operation: Operation, target: Target, orders: BootOrders | None) -> str:
        """Records what the new machine, whose compose is recorded, has of its source. Returns its host name."""


class DiskContent(Protocol):
    """Fills the disks of a machine that is imported. Each method is idempotent."""

    async def check(self, operation: Operation, target: Target, journal: Journal) -> None:
        """Returns when the file is found to be intact, and no rack writes for an earlier attempt. Changes nothing."""

    async def fill(self, operation: Operation, target: Target, journal: Journal) -> None:
        """Returns when the disks of the guest, which is off, have the content, and it boots from them."""


class ComposeMachine:
    """Runs after the reservation: the claims exist, the guest may not exist yet."""

    kind = OperationKind.COMPOSE

    def __init__(
        self,
        calls: HostCalls,
        rescheduler: Rescheduler,
        copies: GuestCopies,
        content: DiskContent,
        registrations: MaasRegistrations,
    ) -> None:
        self._calls = calls
        self._copies = copies
        self._rescheduler = rescheduler
        self._content = content
        self._registrations = registrations

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        """Composes the guest and records it. After repeated failures it is undone if another host could take it."""
        try:
            return await self._compose(operation, journal)
        except InnkeeperError as error:
            tried_enough = operation.failures >= FAILURES_BEFORE_RESCHEDULING
            if error.retryable and tried_enough and await self._has_alternative(operation):
                return Outcome(rejection=error)
            raise

    async def _compose(self, operation: Operation, journal: Journal) -> Outcome:
        target, request, orders = Target.of(operation), operation.request_as(StoredCompose), None
        is_copy, imports = request.copied is not None, request.import_ is not None
        if imports:
            await self._content.check(operation, target, journal)
        if is_copy:
            guest, orders = await self._copies.clone(operation, target, journal)
        else:
            guest = await self._compose_on_host(operation, target, journal)
        power = guest.power
        await write_generation(self._calls, operation, target, journal)
        if imports:
            await self._content.fill(operation, target, journal)
        if request.power_on:
            await journal.step("power_on", reaches_host=True)
            power = (await set_power(self._calls, operation, target, PowerAction.ON)).power

        async def record(db: Db) -> None:
            await record_guest(db, target.host_id, guest, target.machine_id, power)
            await lifecycle_store.end_compose(db, target.machine_id, power, operation.username)
            message = f"{target.spec.name} was composed on {operation.host_name}"
            if is_copy:
                source = await self._copies.record(db, operation, target, orders)
                message = f"{message} with copies of the disks of {source}"
            if imports:
                message = f"{target.spec.name} was imported to {operation.host_name}"
            await record_event(db, operation, "machine_imported" if imports else "machine_composed", message)
            if request.register_in_maas is not None:
                await self._registrations.composed(db, operation, request.register_in_maas)

        return Outcome(result={"system_id": target.system_id, "hostname": target.spec.name}, record=record)

    async def _compose_on_host(self, operation: Operation, target: Target, journal: Journal) -> Guest:
        """Returns the composed guest. Records an unreachable host as not reached, so that nothing must be undone there,
        unless an earlier attempt may have changed the host."""
        await journal.step("compose_on_host", reaches_host=True, hostname=target.spec.name)
        fence, check_reach = fence_of(operation, str(target.spec.marker.machine_id)), not operation.reached_host
        try:
            return await self._calls.call(
                target.host_id,
                HOST_COMPOSE,
                lambda access: ComposeCall(access=access, spec=target.spec, fence=fence, check_reach=check_reach),
                deadline_s=COMPOSE_DEADLINE_S,
            )
        except InnkeeperError as error:
            if check_reach and nothing_began(error):
                await journal.host_not_reached()
            error.details.pop(NOTHING_BEGAN, None)
            raise

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Removes the guest and releases the claims, then reschedules on another host or deletes the machine."""
        if operation.machine_id is None:
            return Outcome()
        target = Target.of(operation)
        removed, guest_may_remain, racks = await self._remove_guest(operation, target, journal)
        options = None
        tried = _tried(operation, target)
        if _may_reschedule(operation):
            await journal.write("release_claims", lambda db: _release_claims(db, target.machine_id))
            options = await self._find_options(operation, tried)
        undone = _Undone(
            steps=(*removed, "claims released"), guest_may_remain=guest_may_remain, racks=racks, tried=tuple(tried)
        )
        if options is not None and options.alternatives and len(tried) < MAX_HOSTS:
            return self._reschedule(operation, target, options, undone)
        return _fail(operation, target, options, undone)

    async def _has_alternative(self, operation: Operation) -> bool:
        if not _may_reschedule(operation):
            return False
        tried = _tried(operation, Target.of(operation))
        try:
            options = await self._rescheduler.find_options(operation, [one["host_id"] for one in tried])
        except RackUnreachable:
            return False
        return options is not None and bool(options.alternatives) and len(tried) < MAX_HOSTS

    async def _find_options(self, operation: Operation, tried: list[dict[str, Any]]) -> RescheduleOptions | None:
        """Returns where the compose could run, None if nowhere. Racks reconnect after a region restarts: waits for them
        as long as the compose itself would."""
        try:
            return await self._rescheduler.find_options(operation, [one["host_id"] for one in tried])
        except RackUnreachable:
            if operation.failures < operation.max_failures:
                raise
            return None

    async def _remove_guest(
        self, operation: Operation, target: Target, journal: Journal
    ) -> tuple[list[str], bool, tuple[str, ...]]:
        """Removes the guest; returns what was undone, whether the guest may remain, and the racks that may create it.

        An unreachable or failing host does not prevent rescheduling: a later operation removes the guest.
        """
        if not operation.reached_host:
            return [], False, ()
        if operation.request_as(StoredCompose).copied is not None:
            # Its source stays untouched until nothing reads it any more.
            await wait_for_command(self._calls, operation, target, journal)
        await journal.step("remove_incomplete_guest", reaches_host=True)
        racks = await self._racks_that_may_create(operation, target)
        try:
            await remove_guest(self._calls, operation, target)
            if racks and not (racks := await self._racks_that_may_create(operation, target)):
                await remove_guest(self._calls, operation, target)  # the older call has ended, perhaps with a guest
        except InnkeeperError as error:
            if not _may_reschedule(operation):
                raise
            await journal.note("a separate operation will remove the guest later", reason=error.message)
            return ["guest and volumes will be removed when the host is reachable"], True, racks
        if racks:
            pending = f"{racks_text(racks)} may still create {target.spec.name}: it is removed then"
            return ["guest and volumes removed from the host", pending], False, racks
        return ["guest and volumes removed from the host"], False, ()

    async def _racks_that_may_create(self, operation: Operation, target: Target) -> tuple[str, ...]:
        """Returns the racks that may still create the guest. Asks before the removal, so that none is missed."""
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        return await self._calls.racks_with_older_calls(target.host_id, fence, since=operation.created_at)

    def _reschedule(self, operation: Operation, target: Target, options: RescheduleOptions, undone: _Undone) -> Outcome:
        async def record(db: Db) -> None:
            # Ends the marker on this host: a guest that appears with it later is removed.
            reason = f"rescheduled: {operation.error_message}"
            await record_tombstone(db, operation, target, reason, was_composed=False)
            pending = await _open_clean_up(db, operation, target, undone)
            host = await self._rescheduler.reschedule(db, operation, target.machine_id, options, undone.tried)
            message = f"{_failure(operation, target)} It is rescheduled on {host.name}.{pending}"
            await record_event(db, operation, "compose_rescheduled", message, level=Level.WARNING)

        return Outcome(undone=undone.steps, record=record, rescheduled=True)


def _fail(operation: Operation, target: Target, options: RescheduleOptions | None, undone: _Undone) -> Outcome:
    error = _error_of_all_hosts(operation, target, undone.tried, options)

    async def record(db: Db) -> None:
        pending = await _open_clean_up(db, operation, target, undone)
        await _end_machine(db, operation, target, error)
        if error is not None:
            explanation = {**(operation.explanation or {}), "tried": list(undone.tried)}
            await operation_store.explain(db, operation.id, explanation)
        message = f"{_failure(operation, target)}{pending}"
        await record_event(db, operation, "compose_failed", message, level=Level.WARNING)

    return Outcome(undone=(*undone.steps, "machine not composed"), record=record, error=error)


def _failure(operation: Operation, target: Target) -> str:
    return f"{target.spec.name} was not composed on {operation.host_name}: {operation.error_message}"


def _may_reschedule(operation: Operation) -> bool:
    return (
        stored_intent(operation) is not None
        and not operation.cancel_requested
        and operation.error_code not in _SAME_ON_EVERY_HOST
    )


def _tried(operation: Operation, target: Target) -> list[dict[str, Any]]:
    """Returns the hosts that failed, in their order; the last is the current one."""
    before = list((operation.explanation or {}).get("tried", ()))
    current = {"host": operation.host_name, "host_id": target.host_id, "error": operation.error_message or ""}
    return [*before, current]


def _error_of_all_hosts(
    operation: Operation, target: Target, tried: Collection[Mapping[str, Any]], options: RescheduleOptions | None
) -> InnkeeperError | None:
    """Returns the error with the reasons of every host; None if the operation's own error is complete."""
    intent = stored_intent(operation)
    allocated = intent is not None and intent.agent_name is not None
    if not _may_reschedule(operation) or (len(tried) == 1 and not allocated):
        return None
    reasons = [f"{one['host']}: {one['error']}" for one in tried]
    tried_ids = {one["host_id"] for one in tried}
    if options is not None:
        rejected = [evaluation for evaluation in options.placement.rejected if evaluation.host_id not in tried_ids]
        counted = Counter(options.placement.summarized)
        if len(rejected) > MOST_NAMED:
            counted.update(SUMMARY[evaluation.failures[0].check] for evaluation in rejected)
            rejected = []
        reasons += [f"{evaluation.host_name}: {evaluation.reasons[0]}" for evaluation in rejected]
        reasons += [f"{hosts} more: {reason}" for reason, hosts in counted.most_common()]
    what = (
        "No available machine matches constraints, and none could be composed."
        if allocated
        else f"{target.spec.name} could not be composed on any host."
    )
    message = f"{what} {' | '.join(reasons)}"
    if allocated:
        return NoneAvailable(message, tried=list(tried))
    return rebuild(operation.error_code or InternalError.code, message, {"tried": list(tried)})


async def _end_machine(db: Db, operation: Operation, target: Target, error: InnkeeperError | None) -> None:
    """Deletes the machine. A machine that a client knows of remains, with the reason and without claims."""
    await record_tombstone(db, operation, target, "its compose failed", was_composed=False)
    await ledger_store.release_machine(db, target.machine_id)  # locks the server, which comes before the machine
    if not await lock_announced(db, target.machine_id):
        await store.delete(db, target.machine_id)
        return
    await store.delete_guest(db, target.machine_id)
    await clear_devices(db, target.machine_id)
    await affinity_store.remove(db, target.machine_id, tuple(Policy))
    await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.COMPOSE_FAILED)
    reason = error.message if error is not None else operation.error_message
    await leave_host(db, target.machine_id, reason or "")


async def _release_claims(db: Db, machine_id: int) -> None:
    await ledger_store.release_machine(db, machine_id)
    await clear_devices(db, machine_id)


async def _open_clean_up(db: Db, operation: Operation, target: Target, undone: _Undone) -> str:
    """Opens an operation that removes a remaining guest, if one may remain or be created.

    Returns a sentence for the event; empty unless a rack may still create the guest.
    """
    if not undone.guest_may_remain and not undone.racks:
        return ""
    host = operation.host_name or ""
    opened = await open_clean_up(db, target.host_id, host, target.spec.ref, target.volumes, after=operation)
    if not undone.racks:
        return ""
    return f" {racks_text(undone.racks)} may still create it: operation {opened} removes it then."
