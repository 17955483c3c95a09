"""Starts and aborts deployments, and receives the reports of guests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol
from uuid import UUID

from common.errors import InnkeeperError, NotFound, WrongState
from common.hosts.vm_host_report import VmHostReport
from common.words.operation_kinds import OperationKind
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.rewrap import USER_DATA, VM_HOST_KEY
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.images.model import Image
from regiond.images.service import Images
from regiond.machines.core import view_store
from regiond.machines.core.guest_spec import known_spec
from regiond.machines.core.operation_intents import (
    check_idle,
    check_no_host,
    check_owner_is,
    open_operation,
    with_fresh_view,
)
from regiond.machines.core.ownership_rules import check_deployable, check_may_change, check_owner
from regiond.machines.core.store import announce
from regiond.machines.remains.removal_fact_store import check_permitted, facts_of_one
from regiond.machines.removal_plans.affected_guests import affected_guest
from regiond.machines.removal_plans.host_removal_plan import emptying_texts
from regiond.machines.removal_plans.machine_removal_plan import MachineRemovalPlan
from regiond.machines.running.deployment import store
from regiond.machines.running.deployment.image_rules import (
    check_image_host,
    check_may_be_host,
    check_root_disk,
    image_ref,
    own_root_disk,
)
from regiond.machines.running.deployment.outcome import earlier_operation
from regiond.machines.running.deployment.rebuild import (
    DeploymentRequest,
    deploy_plan,
    is_untouched,
    rebuild_plan,
    rebuilding,
    with_image,
)
from regiond.machines.running.deployment.user_data import decode_user_data
from regiond.machines.running.deployment.user_data_delivery import UserDataDelivery
from regiond.machines.running.deployment.vm_host.keys import make_keys
from regiond.machines.running.deployment.vm_host.model import VmHostSetup
from regiond.machines.values.disks import DiskPlan
from regiond.machines.values.lifecycle import MachineEvent, next_state
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import DeployRequest
from regiond.machines.values.states import MachineState
from regiond.operations import lease_store
from regiond.operations import store as operation_store
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, Parent
from regiond.operations.service import Operations
from regiond.requests.caller import Caller


class Allocation(Protocol):
    async def take(self, caller: Caller, system_id: str, agent_name: str) -> None:
        """Allocates a ready machine to the caller. Raises NoneAvailable, NotAllowed and QuotaExceeded."""

    async def check_take(self, db: Db, caller: Caller, machine: MachineView) -> None:
        """Raises what `take` would raise for the machine as it is now. Locks quotas, and changes nothing."""

    async def refusals(self, db: Db, caller: Caller, system_ids: Sequence[str]) -> Mapping[str, str]:
        """Returns by system id the message of the NoneAvailable that `take` would raise. Only reads."""


class Deployments:
    def __init__(
        self,
        database: Database,
        operations: Operations,
        images: Images,
        seal: Credentials,
        allocation: Allocation,
        *,
        key_pairs: KeyPairs,
        installation_id: UUID,
    ) -> None:
        self._database = database
        self._operations = operations
        self._images = images
        self._seal = seal
        self._allocation = allocation
        self._key_pairs = key_pairs
        self._installation_id = installation_id
        self._delivery = UserDataDelivery(database, seal)

    async def start(
        self,
        caller: Caller,
        system_id: str,
        request: DeployRequest,
        *,
        idempotency_key: IdempotencyKey | None = None,
        parent: Parent | None = None,
    ) -> Operation:
        """Returns the operation that deploys the machine, and allocates a ready machine to the caller first.

        A request to rebuild is for a machine that has a system. Raises NotFound, NotAllowed, InvalidRequest by field,
        WrongState, Busy, QuotaExceeded, IdempotencyMismatch.
        """

        async def open_() -> int:
            user_data = decode_user_data(request.encoded_user_data)
            machine = await self._read(caller, system_id)
            if request.rebuild:
                _check_rebuildable(caller, machine)
            else:
                check_deployable(caller, machine)
            image = await self._fitting_image(caller, machine, with_image(request, machine))
            if _is_ready(machine) and not request.rebuild:
                await self._allocation.take(caller, system_id, request.agent_name)
                machine = await self._read(caller, system_id)
            check_owner(caller, machine)
            keys = None
            if request.vm_host is not None:
                keys = await make_keys(request.vm_host, machine.hostname, self._key_pairs)
            return await self._open(caller, machine, request, user_data, keys, image, idempotency_key, parent)

        return await self._operations.idempotent(idempotency_key, partial(with_fresh_view, open_))

    async def check(self, request: DeployRequest, machines: Iterable[MachineView]) -> Mapping[str, Image]:
        """Returns the image by architecture; none for a rebuild with the image that each machine has.

        Raises InvalidRequest by field, and NotFound, for what would fail on each of the machines.
        """
        decode_user_data(request.encoded_user_data)
        if request.rebuild and not request.image_name:
            return {}
        return {
            architecture: await self._images.find_for_deployment(request.image_name, architecture)
            for architecture in sorted({machine.architecture for machine in machines})
        }

    async def refusals(
        self, caller: Caller, machines: Sequence[MachineView], request: DeployRequest
    ) -> Mapping[str, str]:
        """Returns by system id why `start` would refuse machines as they are now, except for a quota.

        Raises as `check`. Reads all of them at once.
        """
        images = await self.check(request, machines)
        free = [one.system_id for one in machines if _is_ready(one)]
        async with self._database.connection() as db:
            lacking = await _hosts_lacking_uefi(db, machines, images)
            in_use = await operation_store.machines_in_use(db, [one.id for one in machines])
            result = {**await self._allocation.refusals(db, caller, free)} if free else {}
        for machine in machines:
            try:
                if request.vm_host is not None:
                    check_may_be_host(caller, machine)
                self._check_image(machine, images[machine.architecture], lacking)
                check_deployable(caller, machine)
                if not _is_ready(machine):
                    check_idle(machine, in_use)
                    next_state(machine.state, MachineEvent.DEPLOY)
            except InnkeeperError as error:
                result[machine.system_id] = error.message
        return result

    async def plan(self, caller: Caller, system_id: str, request: DeployRequest) -> DiskPlan:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`; not for a rebuild."""
        decode_user_data(request.encoded_user_data)
        machine = await self._read(caller, system_id)
        check_deployable(caller, machine)
        image = await self._fitting_image(caller, machine, request)

        async def write(db: Db) -> None:
            if _is_ready(machine):
                await self._allocation.check_take(db, caller, machine)
                check_idle(machine, await operation_store.machines_in_use(db, [machine.id]))
                return
            check_owner(caller, machine)
            await open_operation(
                db, OperationKind.DEPLOY, machine, self._installation_id, account_id=caller.account_id,
                begins=MachineEvent.DEPLOY, request=_request(image, None),
            )  # fmt: skip
            await check_owner_is(db, machine)

        await self._database.in_transaction(write, dry_run=True)
        return deploy_plan(machine, image.name, request, allocated_to=caller.username if _is_ready(machine) else "")

    async def rebuild_plan(self, caller: Caller, system_id: str, request: DeployRequest) -> DiskPlan:
        """Returns what the request to rebuild would change, and changes nothing. Raises the errors of `start`."""
        decode_user_data(request.encoded_user_data)
        machine = await self._read(caller, system_id)
        _check_rebuildable(caller, machine)
        image = await self._fitting_image(caller, machine, with_image(request, machine))
        async with self._database.connection() as db:
            check_idle(machine, await operation_store.machines_in_use(db, [machine.id]))
            await check_no_host(db, machine)
            await check_permitted(db, machine, OperationKind.DEPLOY)
            ends = emptying_texts([(machine.hostname, await facts_of_one(db, machine.id))])
        return rebuild_plan(machine, image.name, force=request.force, ends=ends)

    async def _fitting_image(self, caller: Caller, machine: MachineView, request: DeployRequest) -> Image:
        """Returns the image. Raises NotFound, NotAllowed and WrongState if the machine cannot get or run it."""
        if request.vm_host is not None:
            check_may_be_host(caller, machine)
        own_root_disk(machine)  # before the image: without the disk none fits
        image = await self._images.find_for_deployment(request.image_name, machine.architecture)
        async with self._database.connection() as db:
            lacking = await _hosts_lacking_uefi(db, [machine], {machine.architecture: image})
        self._check_image(machine, image, lacking)
        return image

    def _check_image(self, machine: MachineView, image: Image, lacking_uefi: Collection[int]) -> None:
        """Raises WrongState if the machine cannot get or run the image."""
        check_image_host(machine, image)
        check_root_disk(machine, image_ref(image))
        known_spec(machine, self._installation_id).root_disk()
        if image.uefi and machine.host_id in lacking_uefi:
            raise WrongState(
                f"The image {image.name} boots with UEFI firmware only, which {machine.host_name} lacks. On that host: "
                "apt install ovmf (or the package edk2-ovmf of its distribution), then refresh it."
            )

    async def _open(
        self,
        caller: Caller,
        machine: MachineView,
        request: DeployRequest,
        user_data: bytes | None,
        vm_host_keys: tuple[str, str] | None,
        image: Image,
        key: IdempotencyKey | None,
        parent: Parent | None,
    ) -> int:
        ref = image_ref(image)

        async def write(db: Db) -> int:
            earlier = await earlier_operation(db, machine.system_id)
            stored = _request(image, earlier)
            if request.rebuild:
                stored = rebuilding(stored, request, await store.of_machine(db, machine.id))
            operation_id = await open_operation(
                db, OperationKind.DEPLOY, machine, self._installation_id, account_id=caller.account_id,
                begins=MachineEvent.REBUILD if request.rebuild else MachineEvent.DEPLOY, parent=parent,
                request=stored,
            )  # fmt: skip
            await check_owner_is(db, machine)
            deployment_id = await store.insert(
                db, machine.id, operation_id, ref, osystem=image.osystem, distro_series=image.series
            )
            if user_data:
                sealed = self._seal.seal_data(deployment_id, USER_DATA, user_data)
                await store.set_user_data(db, deployment_id, sealed)
            if request.vm_host is not None and vm_host_keys is not None:
                public, private = vm_host_keys
                sealed = self._seal.seal_data(deployment_id, VM_HOST_KEY, private.encode())
                setup = VmHostSetup(driver=request.vm_host, public=public, sealed_key=sealed)
                await store.set_vm_host(db, deployment_id, setup)
            await idempotency_service.tie_key(db, key, operation_id)
            verb = "rebuilt" if request.rebuild else "deployed"
            message = f"{machine.hostname} is being {verb} with {image.osystem}/{image.series}"
            await Events.record(
                db, "machine_deploying", message, caller=caller, host_id=machine.host_id, system_id=machine.system_id,
                operation_id=operation_id, details={"comment": request.comment} if request.comment else None,
            )  # fmt: skip
            return operation_id

        return await self._database.in_transaction(write)

    async def report(self, deployment_id: int, secret: str, vm_host: VmHostReport | None = None) -> None:
        """Records that the guest has booted; with `vm_host`, the result of the setup of its hypervisor before that.

        Raises NotFound for an unknown deployment or a wrong secret, WrongState for a report after the boot.
        """
        async with self._database.transaction() as db:
            deployment = await store.locked(db, deployment_id)
            if deployment is None or not deployment.is_secret(secret):
                raise NotFound("There is no such deployment, it has ended, or the secret is wrong.")
            if deployment.reported_at is not None:
                raise WrongState("The guest has reported already.")
            if vm_host is not None:
                await store.record_vm_host(db, deployment_id, vm_host)
                return
            await store.record_reported(db, deployment_id)
        async with self._database.connection() as db:  # after the commit: it locks the operation
            await lease_store.wake(db, deployment.operation_id)

    async def user_data(self, deployment_id: int, secret: str) -> AsyncGenerator[bytes, None]:
        """Returns the guest's user data: see `UserDataDelivery.read`."""
        return await self._delivery.read(deployment_id, secret)

    async def abort(self, caller: Caller, system_id: str, *, comment: str = "") -> MachineView:
        """Begins to stop the deployment, after which the machine is allocated again; or the compose, which then fails.

        Raises NotFound, NotAllowed, WrongState.
        """
        machine, operation = await self._abortable(caller, system_id)
        if operation.kind is OperationKind.COMPOSE:
            async with self._database.transaction() as db:
                await announce(db, machine.id)  # the client that aborts it knows of it, and reads its state
        await self._cancel(operation, comment, caller=caller)
        return await self._read(caller, system_id)

    async def abort_plan(self, caller: Caller, system_id: str) -> MachineRemovalPlan:
        """Returns what `abort` would change, and changes nothing. Raises the errors of `abort`."""
        machine, operation = await self._abortable(caller, system_id)
        if operation.kind is OperationKind.COMPOSE:
            effect = f"The compose of {machine.hostname} is stopped; what it has created on its host is deleted."
            return MachineRemovalPlan(name=machine.hostname, effects=(effect,))
        async with self._database.connection() as db:
            guest = (await affected_guest(db, machine)).as_it_stays
            deployment = await store.of_operation(db, operation.id)
        effect = f"The deployment of {machine.hostname} is stopped; its root disk is emptied, and it stays allocated."
        if deployment is not None and is_untouched(operation, deployment):
            effect = (
                f"The rebuild of {machine.hostname} is stopped; it keeps its system unless that is replaced just now."
            )
        return MachineRemovalPlan(name=machine.hostname, kept=(guest,), effects=(effect,))

    async def _abortable(self, caller: Caller, system_id: str) -> tuple[MachineView, Operation]:
        """Returns the machine and its deployment or compose. Raises NotFound, NotAllowed, WrongState."""
        machine = await self._read(caller, system_id)
        check_may_change(caller, machine)
        kind = OperationKind.COMPOSE if machine.state is MachineState.COMPOSING else OperationKind.DEPLOY
        operation = await self._active(machine, kind)
        if operation is None:
            raise WrongState(f"{machine.hostname} is neither composed nor deployed now.", state=machine.state.value)
        return machine, operation

    async def _cancel(self, operation: Operation, comment: str = "", *, caller: Caller | None = None) -> None:
        async with self._database.transaction() as db:
            if await operation_store.request_cancel(db, operation.id):
                what = "compose" if operation.kind is OperationKind.COMPOSE else "deployment"
                message = f"The {what} of {operation.hostname} is being aborted" + (f": {comment}" if comment else "")
                await Events.record(
                    db, f"{what}_aborted", message, caller=caller, host_id=operation.host_id,
                    system_id=operation.system_id, operation_id=operation.id,
                )  # fmt: skip

    async def _active(self, machine: MachineView, kind: OperationKind = OperationKind.DEPLOY) -> Operation | None:
        async with self._database.connection() as db:
            operation = await operation_store.active(db, kind, machine_id=machine.id)
        return operation if operation is not None and operation.kind is kind else None

    async def _read(self, caller: Caller, system_id: str) -> MachineView:
        async with self._database.connection() as db:
            return await view_store.read(db, system_id, caller=caller)


def _check_rebuildable(caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed and WrongState, before anything is said about an image."""
    check_may_change(caller, machine)
    next_state(machine.state, MachineEvent.REBUILD)


async def _hosts_lacking_uefi(db: Db, machines: Iterable[MachineView], images: Mapping[str, Image]) -> frozenset[int]:
    """Returns the hosts of the machines that are known to lack the firmware that an image needs."""
    host_ids = {one.host_id for one in machines if one.host_id is not None and images[one.architecture].uefi}
    return await store.hosts_lacking_uefi(db, host_ids) if host_ids else frozenset()


def _is_ready(machine: MachineView) -> bool:
    """Returns whether a deployment allocates the machine to its caller first."""
    return machine.state is MachineState.READY and machine.owner is None


def _request(image: Image, earlier: int | None) -> DeploymentRequest:
    return DeploymentRequest(osystem=image.osystem, distro_series=image.series, image=image_ref(image), earlier=earlier)
