"""Resizes the guest of a machine: the operation's handler."""

from __future__ import annotations

from common.errors import InnkeeperError, NotFound
from common.rpc.hardware_commands import HOST_RESIZE, HOST_RESIZE_PLACED, PlacedResizeCall, ResizeCall
from common.serialization import from_dict
from common.values import Guest, GuestSize
from regiond.db.pool import Db
from regiond.ledger.model import DiscreteResources
from regiond.machines import size_store
from regiond.machines.resize.binding import guest_placement
from regiond.machines.steps import Target, find_guest, record_event, wait_for_command
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome, fence_of
from regiond.placement.service import core_ranges
from regiond.racks.service import HostCalls

DEADLINE_S = 60.0


class Resize:
    """Changes on the host what it can change now; the rest is made when the machine is next started."""

    kind = OperationKind.RESIZE

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, wanted = Target.of(operation), from_dict(operation.request["wanted"], GuestSize)
        then = _bound(operation, "bound_then")
        await journal.step("resize", reaches_host=True, cores=wanted.cores, memory_mib=wanted.memory_mib)
        now = await self._resize(operation, target, wanted, then)

        async def record(db: Db) -> None:
            await _record(db, target, now, wanted, then)
            message = f"{operation.hostname} on {operation.host_name} has {now}"
            message += "" if then is None else _binding_text(then)
            later = "" if now == wanted else f", and gets {wanted} when Innkeeper next starts it"
            await record_event(db, operation, "machine_resized", message + later)

        result = {"cores": now.cores, "memory_mib": now.memory_mib, "is_pending": now != wanted}
        return Outcome(result=result, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Gives the guest the size of before, as far as its host allows, and records what it has then."""
        target, request = Target.of(operation), operation.request
        before = from_dict(request["now"], GuestSize)
        was_wanted = from_dict(request["was_wanted"], GuestSize)
        now, bound = before, _bound(operation, "bound")
        if operation.reached_host:
            await wait_for_command(self._calls, operation, target, journal)
            await journal.step("restore_size", reaches_host=True, cores=before.cores, memory_mib=before.memory_mib)
            now, bound = await self._restored(operation, target, before, bound)

        async def record(db: Db) -> None:
            await _record(db, target, now, was_wanted, bound)

        return Outcome(undone=("size as before",) if now == before else (), record=record)

    async def _restored(
        self, operation: Operation, target: Target, before: GuestSize, bound: DiscreteResources | None
    ) -> tuple[GuestSize, DiscreteResources | None]:
        """Returns the size of the guest, with its cores and pages if they are changed; those of before if the host has
        no such guest, which the next refresh finds."""
        try:
            return await self._resize(operation, target, before, bound), bound
        except NotFound:
            return before, bound
        except InnkeeperError as error:
            if error.retryable:
                raise
        guest = await find_guest(self._calls, target)
        if guest is None or not guest.cores or not guest.memory_mib:  # 0: the host does not know it
            return before, bound
        then = _bound(operation, "bound_then")
        has = then if then is not None and _is_bound_so(guest, then) else bound
        return GuestSize(cores=guest.cores, memory_mib=guest.memory_mib), has

    async def _resize(
        self, operation: Operation, target: Target, size: GuestSize, bound: DiscreteResources | None
    ) -> GuestSize:
        """With `bound`, the guest has these pinned cores and huge pages and no others then."""
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        if bound is not None:
            placement = guest_placement(bound)
            placed = await self._calls.call(
                target.host_id,
                HOST_RESIZE_PLACED,
                lambda access: PlacedResizeCall(
                    access=access, guest=target.spec.ref, size=size, placement=placement, fence=fence
                ),
                deadline_s=DEADLINE_S,
            )
            return placed.size
        reply = await self._calls.call(
            target.host_id,
            HOST_RESIZE,
            lambda access: ResizeCall(access=access, guest=target.spec.ref, size=size, fence=fence),
            deadline_s=DEADLINE_S,
        )
        return reply.size


def _bound(operation: Operation, key: str) -> DiscreteResources | None:
    """Returns the pinned cores and huge pages before or after; None for a resize that leaves them as they are."""
    plain = operation.request.get(key)
    return None if plain is None else from_dict(plain, DiscreteResources)


def _is_bound_so(guest: Guest, bound: DiscreteResources) -> bool:
    return {*guest.pinned_core_ids} == {*bound.pinned_core_ids} and guest.huge_pages_backed is bool(bound.huge_pages)


def _binding_text(bound: DiscreteResources) -> str:
    pins = f", pinned to {core_ranges(bound.pinned_core_ids)}" if bound.pinned_core_ids else ""
    return pins + (", in huge pages" if bound.huge_pages else "")


async def _record(db: Db, target: Target, now: GuestSize, wanted: GuestSize, bound: DiscreteResources | None) -> None:
    if bound is None:
        await size_store.record_size(db, target.machine_id, now, wanted)
    else:
        await size_store.record_bound(db, target.machine_id, now, wanted, bound)
