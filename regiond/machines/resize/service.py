"""Opens resizes of machines, or tells what they would change."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from common.errors import Busy, OutOfCapacity
from common.serialization import to_dict
from common.values import GuestSize
from regiond.caller import Caller
from regiond.db.pool import Db
from regiond.idempotency.model import IdempotencyKey
from regiond.ledger import service as ledger
from regiond.machines.hardware.requests import HardwareRequests, changeable
from regiond.machines.model import MachineView, ResizePlan, SizeRequest
from regiond.machines.operation_intents import check_owner_is, open_operation
from regiond.machines.resize import store
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
    """Changes cores and memory of machines. Every operator of its pool may resize a machine without owner."""

    requests: HardwareRequests
    installation_id: UUID

    async def start(
        self,
        caller: Caller,
        system_id: str,
        *,
        cores: int | None,
        memory_mib: int | None,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation:
        """Returns the operation that resizes the machine. What it gets more is claimed at once.

        Raises NotFound, NotAllowed, InvalidRequest, WrongState, QuotaExceeded, OutOfCapacity with the numbers, Busy
        while another operation acts on the machine, and RackUnreachable with `need_rack`.
        """

        return await self.requests.start(
            caller, system_id, lambda db: self._open(db, caller, system_id, cores, memory_mib, parent=parent),
            idempotency_key=idempotency_key, need_rack=need_rack,
        )  # fmt: skip

    async def plan(self, caller: Caller, system_id: str, *, cores: int | None, memory_mib: int | None) -> ResizePlan:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`."""

        return await self.requests.plan(lambda db: self._open(db, caller, system_id, cores, memory_mib))

    async def claimless_plan(self, caller: Caller, system_id: str, size: SizeRequest) -> ResizePlan:
        """Returns the plan as `plan`, whether or not quotas and host have what its `charge` asks for."""
        return await self.requests.plan(
            lambda db: self._open(db, caller, system_id, size.cores, size.memory_mib, claims=False)
        )

    async def _open(
        self,
        db: Db,
        caller: Caller,
        system_id: str,
        cores: int | None,
        memory_mib: int | None,
        *,
        parent: Parent | None = None,
        claims: bool = True,
    ) -> tuple[int, ResizePlan]:
        """Locks in the order of all writers: quotas, the operation, the server, the machine."""
        size = SizeRequest(cores=cores, memory_mib=memory_mib)
        check_size(size)
        machine = await changeable(db, caller, system_id)
        sizing = await store.read(db, machine.id)
        wanted = requested_size(sizing, size)
        if claims:
            await _charge(db, sizing, wanted)
        operation_id = await open_operation(
            db, OperationKind.RESIZE, machine, self.installation_id, account_id=caller.account_id, parent=parent,
            request={
                "wanted": to_dict(wanted), "now": to_dict(sizing.now), "was_wanted": to_dict(sizing.wanted),
            },
        )  # fmt: skip
        await check_owner_is(db, machine)
        if await store.read(db, machine.id) != sizing:
            raise Busy(f"The size of {machine.hostname} has just changed. Try again.")
        check_sizing(machine, sizing, wanted)
        if claims:
            await _claim(db, machine, sizing, wanted)
        await store.set_pending(db, machine.id, wanted)
        return operation_id, resize_plan(machine, sizing, wanted)


async def _charge(db: Db, sizing: Sizing, wanted: GuestSize) -> None:
    """Raises QuotaExceeded. Without growth nothing is charged, so a machine beyond a lowered quota can shrink."""
    charge = sizing.charge_of(wanted)
    if charge.asked != Holdings():
        await permitted(db, [charge], wait=True)


async def _claim(db: Db, machine: MachineView, sizing: Sizing, wanted: GuestSize) -> None:
    if machine.host_id is None:
        return
    held = sizing.now.or_more(wanted)
    short = await ledger.grow_machine(
        db,
        machine.id,
        machine.host_id,
        cores=held.cores,
        memory_mib=0 if sizing.huge_page_size_kib is not None else held.memory_mib,
    )
    if short is not None:
        (host,) = await ledger.capacities_of_hosts(db, [machine.host_id])
        raise OutOfCapacity(shortage(machine, host.capacity, cores=short.cores, memory_mib=short.memory_mib))
