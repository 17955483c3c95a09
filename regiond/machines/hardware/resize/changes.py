"""Changes cores and memory of machines, and the cores and huge pages of the host that they are bound to."""

from __future__ import annotations

from attrs import field, frozen

from common.errors import Busy, InnkeeperError, NotFound, OutOfCapacity
from common.guests.sizes import GuestSize
from common.rpc.commands.hardware_commands import HOST_RESIZE, HOST_RESIZE_PLACED
from common.values import Guest
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.ledger import capacities, growth
from regiond.ledger.model import NO_DISCRETE_RESOURCES, DiscreteResources
from regiond.machines.core import size_store
from regiond.machines.core.candidate_store import read_candidates
from regiond.machines.core.operation_intents import check_settled
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.requests import changeable
from regiond.machines.hardware.resize import store
from regiond.machines.hardware.resize.binding import BoundMachine, guest_placement, is_bound, new_binding, without
from regiond.machines.hardware.resize.model import (
    Sizing,
    check_size,
    check_sizing,
    requested_size,
    resize_plan,
    shortage,
)
from regiond.machines.values.model import MachineView
from regiond.machines.values.resize import ResizePlan, SizeRequest
from regiond.operations.handler import Outcome
from regiond.operations.model import LEFT_OUT
from regiond.placement.cpu_pinning import core_ranges
from regiond.quotas.model import Holdings
from regiond.quotas.service import permitted
from regiond.requests.caller import Caller


@frozen(kw_only=True)
class _Request:
    """`bound` and `bound_then` are the pinned cores and huge pages before and after; None: they stay as they are.

    Releases before the binding of a resize know no such keys, so that only those that change it have them.
    """

    wanted: GuestSize
    now: GuestSize
    was_wanted: GuestSize
    bound: DiscreteResources | None = field(default=None, metadata=LEFT_OUT)
    bound_then: DiscreteResources | None = field(default=None, metadata=LEFT_OUT)


class Resize(HardwareChange[SizeRequest, _Request, ResizePlan]):
    """Changes on the host what it can change now; the rest is made when the machine is next started.

    What it gets more is claimed at once.
    """

    kind = OperationKind.RESIZE
    Request = _Request
    asked = (SizeRequest,)

    async def decide(
        self, db: Db, caller: Caller, system_id: str, asked: SizeRequest
    ) -> Decision[_Request, ResizePlan]:
        """Raises InvalidRequest, WrongState, QuotaExceeded, and OutOfCapacity with the numbers."""
        return await self._decided(db, caller, system_id, asked)

    async def claimless_plan(
        self, caller: Caller, system_id: str, size: SizeRequest, *, taken: DiscreteResources = NO_DISCRETE_RESOURCES
    ) -> ResizePlan:
        """Returns the plan as `plan`, whether or not quotas and host have what its `charge` asks for.

        Others have `taken` these cores and huge pages of the host.
        """

        async def open_(db: Db) -> tuple[int, ResizePlan]:
            decision = await self._decided(db, caller, system_id, size, claims=False, taken=taken)
            return await self.open(db, caller, decision)

        return await self.tools.requests.plan(open_)

    async def _decided(
        self,
        db: Db,
        caller: Caller,
        system_id: str,
        size: SizeRequest,
        *,
        claims: bool = True,
        taken: DiscreteResources = NO_DISCRETE_RESOURCES,
    ) -> Decision[_Request, ResizePlan]:
        check_size(size)
        machine = await changeable(db, caller, system_id)
        sizing = await store.read(db, machine.id)
        wanted = requested_size(sizing, size)
        then = await _binding(db, machine, sizing, size, wanted, taken)
        if claims:
            await _charge(db, sizing, wanted)
        changes_binding = then != sizing.bound
        request = _Request(
            wanted=wanted, now=sizing.now, was_wanted=sizing.wanted,
            bound=sizing.bound if changes_binding else None, bound_then=then if changes_binding else None,
        )  # fmt: skip

        async def claim(db: Db, _: int) -> None:
            if await store.read(db, machine.id) != sizing:
                raise Busy(f"The size of {machine.hostname} has just changed. Try again.")
            check_sizing(machine, sizing, wanted, then)
            if claims:
                await _claim(db, machine, sizing, wanted, then)
            await store.set_pending(db, machine.id, wanted)

        return Decision(machine=machine, request=request, claim=claim, plan=resize_plan(machine, sizing, wanted, then))

    async def act(self, at: Attempt[_Request]) -> Outcome:
        wanted, then = at.request.wanted, at.request.bound_then
        await at.step("resize", cores=wanted.cores, memory_mib=wanted.memory_mib)
        now = await _resized(at, wanted, then)
        binding = "" if then is None else _binding_text(then)
        later = "" if now == wanted else f", and gets {wanted} when Innkeeper next starts it"
        return at.ended(
            lambda db: _record(db, at, now, wanted, then),
            event="machine_resized",
            message=f"{at.where} has {now}{binding}{later}",
            result={"cores": now.cores, "memory_mib": now.memory_mib, "is_pending": now != wanted},
        )

    async def restore(self, at: Attempt[_Request]) -> Outcome:
        """Gives the guest the size of before, as far as its host allows, and records what it has then."""
        before = at.request.now
        now, bound = before, at.request.bound
        if at.reached_host:
            await at.step("restore_size", cores=before.cores, memory_mib=before.memory_mib)
            now, bound = await _restored(at)
        return Outcome(
            undone=("size as before",) if now == before else (),
            record=lambda db: _record(db, at, now, at.request.was_wanted, bound),
        )


async def _binding(
    db: Db, machine: MachineView, sizing: Sizing, size: SizeRequest, wanted: GuestSize, taken: DiscreteResources
) -> DiscreteResources:
    """Returns the pinned cores and huge pages that the machine is to have. Raises as `new_binding`."""
    asked = (size.pinned_cores, size.pin_cores, size.huge_pages, size.huge_page_size_mib)
    if not (is_bound(sizing.bound) or any(asked)):
        return sizing.bound
    check_settled(machine)
    host_id = machine.host_id or 0
    host = (await read_candidates(db, [host_id], with_nodes=True)).get(host_id)
    if host is None:
        raise NotFound(f"The host of {machine.hostname} was just removed.")
    bound = BoundMachine(hostname=machine.hostname, host=without(host, taken), cores=sizing.cores, bound=sizing.bound)
    return new_binding(bound, size, wanted)


async def _charge(db: Db, sizing: Sizing, wanted: GuestSize) -> None:
    """Raises QuotaExceeded. Without growth nothing is charged, so a machine beyond a lowered quota can shrink."""
    charge = sizing.charge_of(wanted)
    if charge.asked != Holdings():
        await permitted(db, [charge], wait=True)


async def _claim(db: Db, machine: MachineView, sizing: Sizing, wanted: GuestSize, then: DiscreteResources) -> None:
    if machine.host_id is None:
        return
    held = sizing.now.or_more(wanted)
    short = await growth.grow_machine(
        db,
        machine.id,
        machine.host_id,
        cores=held.cores,
        memory_mib=0 if then.huge_pages else held.memory_mib,
    )
    if short is not None:
        (host,) = await capacities.capacities_of_hosts(db, [machine.host_id])
        raise OutOfCapacity(shortage(machine, host.capacity, cores=short.cores, memory_mib=short.memory_mib))
    if then != sizing.bound:
        try:
            await growth.grow_bound(db, machine.id, machine.host_id, then)
        except OutOfCapacity as error:  # they were free when they were chosen
            raise Busy(f"{error.message} It was free until just now. Try again.") from error


async def _resized(at: Attempt[_Request], size: GuestSize, bound: DiscreteResources | None) -> GuestSize:
    """With `bound`, the guest has these pinned cores and huge pages and no others then."""
    if bound is None:
        return (await at.call(HOST_RESIZE, size=size)).size
    placement = guest_placement(bound)
    return (await at.call(HOST_RESIZE_PLACED, size=size, placement=placement)).size


async def _restored(at: Attempt[_Request]) -> tuple[GuestSize, DiscreteResources | None]:
    """Returns the size of the guest, with its cores and pages if they are changed; those of before if the host has no
    such guest, which the next refresh finds.
    """
    before, bound, then = at.request.now, at.request.bound, at.request.bound_then
    try:
        return await _resized(at, before, bound), bound
    except NotFound:
        return before, bound
    except InnkeeperError as error:
        if error.retryable:
            raise
    guest = await at.find_guest()
    if guest is None or not guest.cores or not guest.memory_mib:  # 0: the host does not know it
        return before, bound
    has = then if then is not None and _is_bound_so(guest, then) else bound
    return GuestSize(cores=guest.cores, memory_mib=guest.memory_mib), has


def _is_bound_so(guest: Guest, bound: DiscreteResources) -> bool:
    return {*guest.pinned_core_ids} == {*bound.pinned_core_ids} and guest.huge_pages_backed is bool(bound.huge_pages)


def _binding_text(bound: DiscreteResources) -> str:
    pins = f", pinned to {core_ranges(bound.pinned_core_ids)}" if bound.pinned_core_ids else ""
    return pins + (", in huge pages" if bound.huge_pages else "")


async def _record(
    db: Db, at: Attempt[_Request], now: GuestSize, wanted: GuestSize, bound: DiscreteResources | None
) -> None:
    machine_id = at.target.machine_id
    if bound is None:
        await size_store.record_size(db, machine_id, now, wanted)
    else:
        await size_store.record_bound(db, machine_id, now, wanted, bound)
