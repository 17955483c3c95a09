"""Opens operations that insert and eject ISO images of machines, or tells what they would do."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from common.serialization import to_dict
from regiond.caller import Caller
from regiond.db.pool import Db
from regiond.idempotency.model import IdempotencyKey
from regiond.images.service import Images
from regiond.machines.hardware.requests import HardwareRequests, changeable
from regiond.machines.iso.model import eject_plan, insert_plan, iso_ref, pool_for_copy
from regiond.machines.model import IsoPlan
from regiond.machines.operation_intents import check_owner_is, open_operation
from regiond.operations.model import Operation, OperationKind


@frozen
class IsoChanges:
    """Changes what is in the drives of machines. Every operator of its pool may change a machine without owner.

    The `start` methods raise NotFound, NotAllowed, InvalidRequest, WrongState, Busy while another operation acts on the
    machine, and RackUnreachable with `need_rack`. The `plan` methods change nothing, and raise the same errors.
    """

    requests: HardwareRequests
    images: Images
    installation_id: UUID

    async def start_insert(
        self,
        caller: Caller,
        system_id: str,
        image: str,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """Returns the operation that copies the image to the machine's host and puts it into the drive."""
        return await self.requests.start(
            caller, system_id, lambda db: self._insert(db, caller, system_id, image),
            idempotency_key=idempotency_key, need_rack=need_rack,
        )  # fmt: skip

    async def plan_insert(self, caller: Caller, system_id: str, image: str) -> IsoPlan:
        return await self.requests.plan(lambda db: self._insert(db, caller, system_id, image))

    async def start_eject(
        self,
        caller: Caller,
        system_id: str,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """Returns the operation that takes the image out of the drive. The host keeps its copy for other machines."""
        return await self.requests.start(
            caller, system_id, lambda db: self._eject(db, caller, system_id),
            idempotency_key=idempotency_key, need_rack=need_rack,
        )  # fmt: skip

    async def plan_eject(self, caller: Caller, system_id: str) -> IsoPlan:
        return await self.requests.plan(lambda db: self._eject(db, caller, system_id))

    async def _insert(self, db: Db, caller: Caller, system_id: str, name: str) -> tuple[int, IsoPlan]:
        machine = await changeable(db, caller, system_id)
        image = await self.images.find_iso(db, name, machine.architecture)
        request = {
            "image": to_dict(iso_ref(image)), "name": image.name, "pool": pool_for_copy(machine),
            "before": machine.boot.iso_sha256,
        }  # fmt: skip
        operation_id = await open_operation(
            db, OperationKind.INSERT_ISO, machine, self.installation_id, account_id=caller.account_id, request=request
        )
        await check_owner_is(db, machine)
        return operation_id, insert_plan(machine, image)

    async def _eject(self, db: Db, caller: Caller, system_id: str) -> tuple[int, IsoPlan]:
        machine = await changeable(db, caller, system_id)
        request = {"name": machine.boot.next_iso or machine.boot.iso}
        operation_id = await open_operation(
            db, OperationKind.EJECT_ISO, machine, self.installation_id, account_id=caller.account_id, request=request
        )
        await check_owner_is(db, machine)
        return operation_id, eject_plan(machine)
