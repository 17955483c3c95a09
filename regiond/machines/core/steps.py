"""Functions that all operation handlers of machines share."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from attrs import frozen

from common.boot import BootOnce, order_text
from common.errors import InnkeeperError
from common.guests.guest_spec import GuestSpec
from common.guests.sizes import DiskSize, GuestSize
from common.rpc.commands.host_commands import HOST_FIND, HOST_POWER, GuestCall, PowerCall, PowerReply
from common.values import Guest, NicKind, PowerAction, PowerState
from common.words.operation_kinds import OperationKind
from common.words.phrases import first_of
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.machines.core import boot_store, disk_size_store, size_store, store
from regiond.machines.values.guest_request import GuestRequest
from regiond.machines.values.power import PowerRequest
from regiond.operations.handler import Journal, fence_of
from regiond.operations.model import WAIT_FOR_COMMAND, WAIT_FOR_EARLIER, AfterEarlier, Operation
from regiond.racks.calls.host_calls import HostCalls

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_RACKS_NAMED = 5
MAX_REASON = 1000  # characters, as the column has
POWER_OFF_GRACE_S = 30.0
FIND_DEADLINE_S = 20.0
POWER_DEADLINE_S = 60.0  # in addition to the guest's grace period


@frozen(kw_only=True)
class Target:
    """The machine that an operation acts on, read from the operation's row."""

    host_id: int
    machine_id: int
    system_id: str
    spec: GuestSpec
    pending: GuestSize | None = None  # what it gets at its next start
    pending_disks: tuple[DiskSize, ...] = ()
    boot_once: BootOnce | None = None  # the order of the start that is asked for

    @classmethod
    def of(cls, operation: Operation) -> Target:
        if operation.host_id is None or operation.machine_id is None or operation.system_id is None:
            raise ValueError(f"operation {operation.id} has lost its host or machine")
        request = operation.request_as(GuestRequest)
        return cls(
            host_id=operation.host_id,
            machine_id=operation.machine_id,
            system_id=operation.system_id,
            spec=request.spec,
            pending=request.pending,
            boot_once=request.boot_once,
            pending_disks=request.pending_disks,
        )

    @property
    def volumes(self) -> tuple[tuple[str, str], ...]:
        """(storage pool, volume name) of each disk that we created."""
        return tuple((disk.pool_id, disk.volume) for disk in self.spec.disks)

    @property
    def mac_addresses(self) -> tuple[str, ...]:
        """The MAC addresses of the NICs for which a hypervisor may store DHCP reservations."""
        return tuple(nic.mac_address for nic in self.spec.nics if nic.kind is NicKind.NETWORK)


async def wait_for_command(calls: HostCalls, operation: Operation, target: Target, journal: Journal) -> None:
    """Returns when no rack acts any more for an earlier attempt of the operation.

    The attempt may have ended in the middle of a command: it was cancelled, or its region or its rack's link was lost.
    """
    if operation.reached_host:
        await journal.step(WAIT_FOR_COMMAND)
        await _exclude_older(calls, operation, target, journal)


async def wait_for_older_commands(calls: HostCalls, operation: Operation, target: Target, journal: Journal) -> None:
    """As `wait_for_command`, also for the operation before this one.

    An operation that has not reached the host waits for the operation before it, if that was superseded or did not
    succeed.
    """
    earlier = operation.request_as(AfterEarlier).earlier
    if earlier is not None and not operation.reached_host:
        await journal.step(WAIT_FOR_EARLIER, earlier=earlier)
        await _exclude_older(calls, operation, target, journal)
    await wait_for_command(calls, operation, target, journal)


async def _exclude_older(calls: HostCalls, operation: Operation, target: Target, journal: Journal) -> None:
    """Returns when no rack acts on the guest for an older attempt or operation. Before, raises Busy, RackUnreachable.

    Racks do not know of each other's calls: a rack that this attempt does not use could start or write the guest later.
    The caller has begun a step for the wait, whose time limits the wait.
    """
    fence = fence_of(operation, str(target.spec.marker.machine_id))
    began_at = await journal.step_began_at()
    running = await calls.exclude_older(target.host_id, fence, since=began_at)
    if running:
        await journal.note("an earlier command still runs; it is no longer waited for", racks=list(running))


async def find_guest(calls: HostCalls, target: Target) -> Guest | None:
    """Returns the guest as its host reports it; None if the host has none, or cannot say.

    Only another attempt can help after a retryable error, which is raised. After any other, such as one of a guest that
    the host cannot read, an operation that waits for an answer would never end.
    """
    try:
        found = await calls.call(
            target.host_id,
            HOST_FIND,
            lambda access: GuestCall(access=access, guest=target.spec.ref),
            deadline_s=FIND_DEADLINE_S,
        )
    except InnkeeperError as error:
        if error.retryable:
            raise
        log.warning("guest_not_found", guest=target.spec.name, host_id=target.host_id, reason=error.message)
        return None
    return found.guest


async def set_power(
    calls: HostCalls, operation: Operation, target: Target, action: PowerAction, *, grace_s: float = POWER_OFF_GRACE_S
) -> PowerReply:
    """Returns the guest's power state afterwards; `record_power` records it. Raises NotFound without the guest."""
    fence = fence_of(operation, str(target.spec.marker.machine_id))
    return await calls.call(
        target.host_id,
        HOST_POWER,
        lambda access: PowerCall(
            access=access,
            guest=target.spec.ref,
            action=action,
            grace_s=grace_s,
            fence=fence,
            autostart=target.spec.autostart,
            size=target.pending,
            disk_sizes=target.pending_disks,
            boot_once=target.boot_once,
        ),
        deadline_s=grace_s + POWER_DEADLINE_S,
    )


async def record_power(db: Db, operation: Operation, target: Target, reply: PowerReply) -> None:
    """Records the power state, and the size that the guest got at its start, in the caller's transaction."""
    if target.pending is not None and reply.size is not None:
        await size_store.record_size(db, target.machine_id, reply.size, target.pending)
        if reply.power is PowerState.ON and reply.size != target.pending:
            message = (
                f"{operation.hostname} is on with {reply.size}, and {target.pending} is still pending. "
                f"{_why(operation, 'that size', reply.size_refused, 'size_not_changed')}"
            )
            await record_event(db, operation, "machine_size_pending", message, level=Level.WARNING)
    if target.pending is not None and reply.size_refused:
        await size_store.record_refusal(db, target.machine_id, reply.size_refused[:MAX_REASON])
    for reason in reply.disks_refused:
        message = (
            f"{operation.host_name} did not make a disk of {operation.hostname} larger before its start, and its "
            f"growth is still pending: {reason}"
        )
        await record_event(db, operation, "machine_size_pending", message, level=Level.WARNING)
    await disk_size_store.record_sizes(db, target.machine_id, reply.disk_sizes)
    await _record_boot(db, operation, target, reply)
    await store.set_power(db, target.machine_id, reply.power, operation)


def _why(operation: Operation, what: str, reason: str, event: str) -> str:
    """Returns the reason that the rack has reported, or where it is."""
    if reason:
        return f"{operation.host_name} refused {what} at this start: {reason}"
    return f"If it has just been started, {operation.host_name} refused {what}: the rack's log has the reason ({event})"


async def note_refusals(journal: Journal, reply: PowerReply) -> None:
    """Writes to the operation's log what the host refused before the start."""
    reasons = [one for one in (reply.size_refused, *reply.disks_refused, reply.boot_refused) if one]
    for reason in reasons:
        await journal.note("refused before the start, and still pending", reason=reason)


async def _record_boot(db: Db, operation: Operation, target: Target, reply: PowerReply) -> None:
    """A guest that was off, as in a cycle, has the order that was pending; that for one start ends with this start."""
    cycles = operation.kind is OperationKind.POWER and operation.request_as(PowerRequest).action is PowerAction.CYCLE
    if reply.power is PowerState.OFF or cycles:
        await boot_store.apply_pending(db, target.machine_id)
    once = target.boot_once
    if once is None or reply.power is not PowerState.ON:
        return
    if reply.booted_once == once.key:
        await boot_store.end_once(db, target.machine_id, once.key)
        message = f"{operation.hostname} on {operation.host_name} was started from {order_text(once.order)} first"
        await record_event(db, operation, "machine_booted_once", message)
    else:
        message = (
            f"{operation.hostname} is on, and its start from {order_text(once.order)} first is still pending. "
            f"{_why(operation, 'that order', reply.boot_refused, 'boot_order_not_changed')}"
        )
        await record_event(db, operation, "machine_boot_pending", message, level=Level.WARNING)


async def power_off(calls: HostCalls, operation: Operation, target: Target, journal: Journal) -> PowerReply:
    """Powers the guest off without a grace period. Raises NotFound if the host has no such guest."""
    await journal.step("power_off", reaches_host=True)
    return await set_power(calls, operation, target, PowerAction.FORCE_OFF)


def racks_text(racks: Sequence[str]) -> str:
    """Returns `Rack a` or `One of the racks a, b`, for racks that may still run a call."""
    return f"Rack {racks[0]}" if len(racks) == 1 else f"One of the racks {first_of(racks, _RACKS_NAMED)}"


async def record_event(db: Db, operation: Operation, kind: str, message: str, *, level: Level = Level.INFO) -> None:
    """Records an event of the operation, its host, its machine and its user, in the caller's transaction."""
    await Events.record(
        db, kind, message, level=level, host_id=operation.host_id, system_id=operation.system_id,
        operation_id=operation.id, account_id=operation.account_id, username=operation.username,
    )  # fmt: skip
