"""Puts ISO images into the drives of machines and takes them out."""

from __future__ import annotations

from attrs import frozen

from common.boot import IsoState
from common.errors import InnkeeperError
from common.guests.deployment_spec import ImageRef
from common.rpc.commands.hardware_commands import HOST_EJECT_ISO, HOST_INSERT_ISO
from common.rpc.commands.host_commands import HOST_COPY_IMAGE
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.hosts.image_copies import service as image_copy_service
from regiond.machines.core import boot_store
from regiond.machines.core.generation import write_generation
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.iso.model import eject_plan, insert_plan, iso_ref, pool_for_copy
from regiond.machines.hardware.requests import changeable
from regiond.machines.values.boot import ChangePlan, IsoToEject, IsoToInsert
from regiond.machines.values.guest_request import MachineRequest
from regiond.operations.handler import Outcome
from regiond.requests.caller import Caller


@frozen(kw_only=True)
class _Insertion(MachineRequest):
    """`pool` is the key of the storage pool for the copy, `before` the SHA-256 of the region's image before, if any."""

    image: ImageRef
    name: str
    pool: str
    before: str

    @property
    def begins_use(self) -> str:
        return "it gets an ISO image"


@frozen(kw_only=True)
class _Ejection:
    name: str


class InsertIso(HardwareChange[IsoToInsert, _Insertion, ChangePlan]):
    """Copies the image to the host unless it is there, then puts it into the drive."""

    kind = OperationKind.INSERT_ISO
    Request = _Insertion
    asked = (IsoToInsert,)

    async def decide(
        self, db: Db, caller: Caller, system_id: str, asked: IsoToInsert
    ) -> Decision[_Insertion, ChangePlan]:
        machine = await changeable(db, caller, system_id)
        image = await self.tools.images.find_iso(db, asked.image, machine.architecture)
        request = _Insertion(
            image=iso_ref(image), name=image.name, pool=pool_for_copy(machine), before=machine.boot.iso_sha256
        )
        return Decision(machine=machine, request=request, plan=insert_plan(machine, image))

    async def act(self, at: Attempt[_Insertion]) -> Outcome:
        request, host_id, image = at.request, at.target.host_id, at.request.image
        await at.step("check_drive", reaches_host=False)
        await _insert(at, image.sha256, check_only=True)
        await write_generation(at.calls, at.operation, at.target, at.journal)
        await at.journal.write(
            "claim_image_copy", lambda db: image_copy_service.claim_image_copy(db, host_id, image, request.pool)
        )
        await at.step("copy_image")
        await at.call_host(HOST_COPY_IMAGE, image=image, pool_id=request.pool)
        await at.step("insert_iso")
        state = await _insert(at, image.sha256)

        async def record(db: Db) -> None:
            await image_copy_service.record_image_copied(db, host_id, image, request.pool)
            await boot_store.record_iso(db, at.target.machine_id, state)

        is_pending = state.now != state.after
        return at.ended(
            record,
            event="iso_inserted",
            message=f"{at.where} has {request.name} in its drive{' from its next start on' if is_pending else ''}",
            result={"image": request.name, "is_pending": is_pending},
        )

    async def restore(self, at: Attempt[_Insertion]) -> Outcome:
        """Leaves in the drive what was there before. The copy stays on the host until it is unused for long."""
        if not at.reached_host:
            return Outcome()
        await at.step("restore_drive")
        try:
            state = await (_insert(at, at.request.before) if at.request.before else at.call(HOST_EJECT_ISO))
        except InnkeeperError as error:
            if error.retryable and error.code != "image_missing":
                raise
            return Outcome()
        return Outcome(
            undone=("drive as before",), record=lambda db: boot_store.record_iso(db, at.target.machine_id, state)
        )


class EjectIso(HardwareChange[IsoToEject, _Ejection, ChangePlan]):
    """Takes the region's image out of the drive. The host keeps its copy for other machines."""

    kind = OperationKind.EJECT_ISO
    Request = _Ejection
    undoes_on_host = False
    asked = (IsoToEject,)

    async def decide(
        self, db: Db, caller: Caller, system_id: str, asked: IsoToEject
    ) -> Decision[_Ejection, ChangePlan]:
        machine = await changeable(db, caller, system_id)
        request = _Ejection(name=machine.boot.next_iso or machine.boot.iso)
        return Decision(machine=machine, request=request, plan=eject_plan(machine))

    async def act(self, at: Attempt[_Ejection]) -> Outcome:
        await at.step("eject_iso")
        state = await at.call(HOST_EJECT_ISO)
        return at.ended(
            lambda db: boot_store.record_iso(db, at.target.machine_id, state),
            event="iso_ejected",
            message=f"{at.where} no longer has {at.request.name or 'any ISO image'} in its drive",
        )

    async def restore(self, at: Attempt[_Ejection]) -> Outcome:
        """Changes nothing: a refresh records what is in the drive, and the image can be inserted again."""
        return Outcome()


async def _insert(at: Attempt[_Insertion], sha256: str, *, check_only: bool = False) -> IsoState:
    return await at.call(HOST_INSERT_ISO, sha256=sha256, pool_id=at.request.pool, check_only=check_only)
