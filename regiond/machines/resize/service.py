"""Opens resizes of machines, or tells what they would change."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from common.errors import Busy, NotFound, OutOfCapacity
from common.serialization import to_dict
from common.values import GuestSize
from regiond.caller import Caller
from regiond.db.pool import Db
from regiond.idempotency.model import IdempotencyKey
from regiond.ledger import service as ledger
from regiond.ledger.model import NO_DISCRETE_RESOURCES, DiscreteResources
from regiond.machines.compose.candidate_store import read_candidates
from regiond.machines.hardware.requests import HardwareRequests, changeable
from regiond.machines.model import MachineView, ResizePlan, SizeRequest
from regiond.machines.operation_intents import check_owner_is, check_settled, open_operation
from regiond.machines.resize import store
from regiond.machines.resize.binding import BoundMachine, is_bound, new_binding, without
from regiond.machines.resize.model import (
    Sizing,
    check_size,
    check_sizing,
    requested_size,
    resize_plan,
    shortage,
)
from regiond.operations.model import Operation, OperationKind, Parent
from regiond.quotas.model import Holdings
from regiond.quotas.service import permitted


@frozen
class Resizes:
    """Changes cores and memory of machines, and the cores and huge pages of the host that they are bound to.

    Every operator of its pool may resize a machine without owner.
    """

    requests: HardwareRequests
    installation_id: UUID

    async def start(
        self,
        caller: Caller,
        system_id: str,
        size: SizeRequest,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation:
        """Returns the operation that resizes the machine. What it gets more is claimed at once.

        Raises NotFound, NotAllowed, InvalidRequest, WrongState, QuotaExceeded, OutOfCapacity with the numbers, Busy
        while another operation acts on the machine, and RackUnreachable with `need_rack`.
        """

        return await self.requests.start(
            caller, system_id, lambda db: self._open(db, caller, system_id, size, parent=parent),
            idempotency_key=idempotency_key, need_rack=need_rack,
        )  # fmt: skip

    async def plan(self, caller: Caller, system_id: str, size: SizeRequest) -> ResizePlan:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`."""

        return await self.requests.plan(lambda db: self._open(db, caller, system_id, size))

    async def claimless_plan(
        self, caller: Caller, system_id: str, size: SizeRequest, *, taken: DiscreteResources = NO_DISCRETE_RESOURCES
    ) -> ResizePlan:
        """Returns the plan as `plan`, whether or not quotas and host have what its `charge` asks for.

        Others have `taken` these cores and huge pages of the host.
        """
        return await self.requests.plan(lambda db: self._open(db, caller, system_id, size, claims=False, taken=taken))

    async def _open(
        self,
        db: Db,
        caller: Caller,
        system_id: str,
        size: SizeRequest,
        *,
        parent: Parent | None = None,
        claims: bool = True,
        taken: DiscreteResources = NO_DISCRETE_RESOURCES,
    ) -> tuple[int, ResizePlan]:
        """Locks in the order of all writers: quotas, the operation, the server, the machine."""
        check_size(size)
        machine = await changeable(db, caller, system_id)
        sizing = await store.read(db, machine.id)
        wanted = requested_size(sizing, size)
        then = await _binding(db, machine, sizing, size, wanted, taken)
        if claims:
            await _charge(db, sizing, wanted)
        operation_id = await open_operation(
            db, OperationKind.RESIZE, machine, self.installation_id, account_id=caller.account_id, parent=parent,
            request={
                "wanted": to_dict(wanted), "now": to_dict(sizing.now), "was_wanted": to_dict(sizing.wanted),
                **({} if then == sizing.bound else {"bound": to_dict(sizing.bound), "bound_then": to_dict(then)}),
            },
        )  # fmt: skip
        await check_owner_is(db, machine)
        if await store.read(db, machine.id) != sizing:
            raise Busy(f"The size of {machine.hostname} has just changed. Try again.")
        check_sizing(machine, sizing, wanted, then)
        if claims:
            await _claim(db, machine, sizing, wanted, then)
        await store.set_pending(db, machine.id, wanted)
        return operation_id, resize_plan(machine, sizing, wanted, then)


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
    short = await ledger.grow_machine(
        db,
        machine.id,
        machine.host_id,
        cores=held.cores,
        memory_mib=0 if then.huge_pages else held.memory_mib,
    )
    if short is not None:
        (host,) = await ledger.capacities_of_hosts(db, [machine.host_id])
        raise OutOfCapacity(shortage(machine, host.capacity, cores=short.cores, memory_mib=short.memory_mib))
    if then != sizing.bound:
        try:
            await ledger.grow_bound(db, machine.id, machine.host_id, then)
        except OutOfCapacity as error:  # they were free when they were chosen
            raise Busy(f"{error.message} It was free until just now. Try again.") from error
