"""Operation handler that deploys a machine: root disk, cloud-init data, power on, the guest's report."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from attrs import frozen

from common.addresses.report_url import report_url
from common.errors import Cancelled, DeploymentFailed, InnkeeperError, NotFound, WrongState
from common.guests.deployment_spec import CloudInitSeed
from common.rpc.commands.host_commands import (
    HOST_COPY_IMAGE,
    HOST_DEPLOY,
    HOST_FIND,
    HOST_FIND_IMAGE,
    CopyImageCall,
    DeployCall,
    FindImageCall,
    GuestCall,
)
from common.values import Guest, PowerAction, PowerState
from common.words.operation_kinds import OperationKind
from regiond.accounts import ssh_key_store
from regiond.credentials.rewrap import USER_DATA, VM_HOST_KEY
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.hosts import schedule_store
from regiond.hosts.changes.host_changes import PreparedHost
from regiond.hosts.image_copies import service as image_copy_service
from regiond.hosts.service import Hosts
from regiond.machines.core import boot_store, view_store
from regiond.machines.core import store as machine_store
from regiond.machines.core.generation import write_generation
from regiond.machines.core.nics.reservations import with_nics_of_ledger
from regiond.machines.core.steps import (
    POWER_OFF_GRACE_S,
    Target,
    note_refusals,
    power_off,
    record_event,
    record_power,
    set_power,
    wait_for_command,
    wait_for_older_commands,
)
from regiond.machines.running.console.serial_log import read_last_lines
from regiond.machines.running.deployment import store
from regiond.machines.running.deployment.disks import WRITE_DEADLINE_S, empty_guest
from regiond.machines.running.deployment.model import Deployment, hash_of, lacks_address, next_look_s
from regiond.machines.running.deployment.outcome import abort_deployment, end_deployment, fail_deployment, keep_system
from regiond.machines.running.deployment.rebuild import DeploymentRequest, EarlierSystem, is_untouched
from regiond.machines.running.deployment.seed import make_seed
from regiond.machines.running.deployment.vm_host.model import new_host
from regiond.networks.ipam import link_store, seen_service, seen_store
from regiond.operations.handler import Journal, Outcome, fence_of
from regiond.operations.model import Operation
from regiond.racks.calls.host_calls import HostCalls
from regiond.racks.rack_content import RackContent

FIND_IMAGE_DEADLINE_S = 30.0
COPY_DEADLINE_S = 1800.0
ADDRESS_DEADLINE_S = 5.0
ADDRESS_WAIT_S = 3.0  # since the report, for the first address
ADDRESS_LOOK_S = 1.0
REFRESH_WITHIN_S = 5.0
_SECRET_BYTES = 32
_NO_REPORT = "Its console shows why; the image needs cloud-init, and the guest a way to the region."


@frozen(kw_only=True)
class DeploymentTools:
    """The collaborators of the handler. `guest_url` returns the URL for reports of guests, without a final slash."""

    database: Database
    calls: HostCalls
    content: RackContent
    hosts: Hosts
    seal: Credentials
    guest_url: Callable[[], str]
    time_limit_s: float
    grace_s: float = POWER_OFF_GRACE_S  # of a guest that shuts down to be rebuilt


class DeployMachine:
    """Deploys a machine. No region runs the operation between power-on and report: the report wakes it."""

    kind = OperationKind.DEPLOY

    def __init__(self, tools: DeploymentTools) -> None:
        self._tools = tools

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, deployment = await self._target(operation), await self._read(operation)
        if deployment.reported_at is None and deployment.booted_at is None:
            await self._write_and_boot(operation, target, deployment, journal)
            deployment = await self._read(operation)
        if deployment.reported_s is not None:
            if deployment.lacks_user_data:
                raise DeploymentFailed(
                    f"{target.spec.name} has booted without its user data: {self._not_fetched(operation)}"
                )
            return await self._end(operation, target, deployment, deployment.reported_s, journal)
        waited_s, limit_s = deployment.waited_s or 0.0, self._tools.time_limit_s
        if waited_s >= limit_s:
            cause = self._not_fetched(operation) if deployment.lacks_user_data else _NO_REPORT
            raise DeploymentFailed(
                f"{target.spec.name} was started, and its operating system did not report within {limit_s:.0f} s. "
                + cause
            )
        return Outcome(
            resumes_within_s=next_look_s(waited_s, limit_s),
            resumes_at_once=lambda db: store.has_reported(db, deployment.id),
        )

    def _not_fetched(self, operation: Operation) -> str:
        return (
            f"The host {operation.host_name} does not store so much user data, and the guest has not fetched them from "
            f"{self._tools.guest_url()}. cloud-init tries that for about 10 s and without them does nothing: the guest "
            "needs a way to that address, and what listens there a way to the region."
        )

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Removes a cancelled deployment from the host. A failed one is not changed, so that its cause can be found;
        a release removes it. A rebuild that has not begun to write the root disk leaves the system that was there.
        """
        if operation.machine_id is None:
            return Outcome()
        target = Target.of(operation)
        system = operation.request_as(DeploymentRequest).earlier_system
        if system is not None and await self._is_untouched(operation):
            return await self._keep(operation, target, system, journal)
        if operation.error_code == Cancelled.code and operation.cancel_requested:
            return await self._abort(operation, journal)
        console = await self._last_lines(operation, target, journal)
        return Outcome(undone=("machine not deployed",), record=lambda db: _failed(db, operation, target, console))

    async def _abort(self, operation: Operation, journal: Journal) -> Outcome:
        target = await self._target(operation)
        await wait_for_command(self._tools.calls, operation, target, journal)
        is_emptied = operation.reached_host and await empty_guest(self._tools.calls, operation, target, journal)

        async def record(db: Db) -> None:
            await abort_deployment(db, target.machine_id, operation)
            if is_emptied:
                await link_store.end_reservation(db, target.machine_id)

        return Outcome(undone=("root disk empty again",), record=record)

    async def _is_untouched(self, operation: Operation) -> bool:
        async with self._tools.database.connection() as db:
            deployment = await store.of_operation(db, operation.id)
        return deployment is not None and is_untouched(operation, deployment)

    async def _keep(self, operation: Operation, target: Target, system: EarlierSystem, journal: Journal) -> Outcome:
        """Ends a rebuild of which the guest has seen nothing, but that it may have been shut down."""
        await wait_for_command(self._tools.calls, operation, target, journal)
        guest = await self._guest(target, journal) if operation.reached_host else None

        async def record(db: Db) -> None:
            await keep_system(db, target.machine_id, system)
            if guest is not None:
                await machine_store.set_power(db, target.machine_id, guest.power, operation)
            off = " It is off." if guest is not None and guest.power is PowerState.OFF else ""
            message = f"{target.spec.name} was not rebuilt and keeps {system.name}: {operation.error_message}{off}"
            await record_event(db, operation, "rebuild_failed", message, level=Level.WARNING)

        return Outcome(undone=("root disk not changed",), record=record)

    async def _last_lines(self, operation: Operation, target: Target, journal: Journal) -> str:
        """Returns the guest's last output, which mostly shows why it has not reported; empty if it was not started."""
        async with self._tools.database.connection() as db:
            deployment = await store.of_operation(db, operation.id)
        if deployment is None or deployment.booted_at is None:
            return ""
        try:
            return await read_last_lines(self._tools.calls, target.host_id, target.spec.ref)
        except InnkeeperError as error:
            await journal.note("console not read", reason=error.message)
            return ""

    async def _end(
        self, operation: Operation, target: Target, deployment: Deployment, reported_s: float, journal: Journal
    ) -> Outcome:
        """Ends the deployment. Reads the guest's addresses first: clients read them as soon as it is deployed."""
        await journal.step("read_addresses")
        guest = await self._guest(target, journal)
        if guest is not None and lacks_address(target.spec, guest) and reported_s < ADDRESS_WAIT_S:
            return Outcome(resumes_within_s=ADDRESS_LOOK_S)
        host = None if deployment.vm_host is None else await self._new_host(operation, deployment)
        return self._deployed(operation, target, deployment, guest, host)

    def _deployed(
        self, operation: Operation, target: Target, deployment: Deployment, guest: Guest | None,
        host: PreparedHost | None,
    ) -> Outcome:  # fmt: skip
        async def record(db: Db) -> None:
            name = None if host is None else await self._tools.hosts.add(db, host)
            await end_deployment(db, target.machine_id)
            if guest is not None:
                installation_id = target.spec.marker.installation_id
                await seen_service.record_addresses_of(db, target.machine_id, guest, installation_id=installation_id)
            await schedule_store.refresh_within(db, [target.host_id], REFRESH_WITHIN_S)  # finds later addresses
            verb = "rebuilt" if operation.request_as(DeploymentRequest).rebuild else "deployed"
            message = f"{target.spec.name} was {verb} with {deployment.osystem}/{deployment.distro_series}"
            became = "" if name is None else f" and is the VM host {name}"
            await record_event(db, operation, "machine_deployed", message + became)

        return Outcome(result={"system_id": target.system_id}, record=record)

    async def _guest(self, target: Target, journal: Journal) -> Guest | None:
        """Returns the guest; None if the host did not return it in time. The next refresh then finds its addresses."""
        try:
            found = await self._tools.calls.call(
                target.host_id, HOST_FIND, lambda access: GuestCall(access=access, guest=target.spec.ref),
                deadline_s=ADDRESS_DEADLINE_S,
            )  # fmt: skip
        except InnkeeperError as error:
            await journal.note("addresses not read", reason=error.message)
            return None
        return found.guest

    async def _target(self, operation: Operation) -> Target:
        """Returns the target with its present NICs, which its owner may have changed since the request."""
        async with self._tools.database.connection() as db:
            return await with_nics_of_ledger(db, Target.of(operation))

    async def _read(self, operation: Operation) -> Deployment:
        async with self._tools.database.connection() as db:
            found = await store.of_operation(db, operation.id)
        if found is None:
            raise NotFound(f"The deployment of operation {operation.id} was deleted.")
        return found

    async def _write_and_boot(
        self, operation: Operation, target: Target, deployment: Deployment, journal: Journal
    ) -> None:
        tools, fence = self._tools, fence_of(operation, str(target.spec.marker.machine_id))
        root, image = target.spec.root_disk(), deployment.image
        await wait_for_older_commands(tools.calls, operation, target, journal)
        await write_generation(tools.calls, operation, target, journal)
        if image.of_host:
            await self._check_host_image(operation, target, deployment, journal)
        else:
            await journal.write(
                "claim_image_copy",
                lambda db: image_copy_service.claim_image_copy(db, target.host_id, image, root.pool_id),
            )
        if not image.of_host:  # while a machine that is rebuilt still runs
            await journal.step("copy_image", reaches_host=True)
            await tools.calls.call(
                target.host_id, HOST_COPY_IMAGE,
                lambda access: CopyImageCall(access=access, image=image, pool_id=root.pool_id, fence=fence),
                deadline_s=COPY_DEADLINE_S,
            )  # fmt: skip
        await self._stop(operation, target, journal)
        secret = secrets.token_urlsafe(_SECRET_BYTES)

        async def record_copied(db: Db) -> None:
            if not image.of_host:
                await image_copy_service.record_image_copied(db, target.host_id, image, root.pool_id)
            await store.set_secret(db, deployment.id, hash_of(secret))
            await boot_store.boot_from_first(db, target.machine_id, deployed=True)
            await link_store.begin_reservation(db, target.machine_id)

        await journal.write("new_secret", record_copied)
        seed = await self._seed(operation, deployment, secret)
        await journal.step("write_disk", reaches_host=True)
        with tools.content.offer(seed.user_data) as sha256:
            written = await tools.calls.call(
                target.host_id, HOST_DEPLOY,
                lambda access: DeployCall(
                    access=access, spec=target.spec, image=image, meta_data=seed.meta_data,
                    network_config=seed.network_config, user_data_sha256=sha256,
                    user_data_bytes=len(seed.user_data), fence=fence, short_user_data=seed.short_user_data,
                ),
                deadline_s=WRITE_DEADLINE_S,
            )  # fmt: skip

        async def record_written(db: Db) -> None:
            await link_store.end_reservation(db, target.machine_id)
            if written.fetches_user_data:
                await store.expect_fetch(db, deployment.id)

        await journal.write("disk_written", record_written)
        await journal.step("power_on", reaches_host=True)
        power = await set_power(tools.calls, operation, target, PowerAction.ON)
        await note_refusals(journal, power)

        async def record(db: Db) -> None:
            await record_power(db, operation, target, power)
            await store.record_booted(db, deployment.id)
            await seen_store.forget_addresses(db, target.machine_id)

        await journal.write("wait_for_report", record)

    async def _stop(self, operation: Operation, target: Target, journal: Journal) -> None:
        """Powers the guest off. A system that is rebuilt shuts down: it may have its data disks mounted."""
        request = operation.request_as(DeploymentRequest)
        if request.rebuild and not request.force and request.earlier_system is not None:
            await journal.step("shut_down", reaches_host=True)
            await set_power(self._tools.calls, operation, target, PowerAction.OFF, grace_s=self._tools.grace_s)
        else:
            await power_off(self._tools.calls, operation, target, journal)

    async def _check_host_image(
        self, operation: Operation, target: Target, deployment: Deployment, journal: Journal
    ) -> None:
        """Raises DeploymentFailed, before anything is written, if the host does not have its image any more."""
        image = deployment.image
        await journal.step("find_image")
        try:
            await self._tools.calls.call(
                target.host_id, HOST_FIND_IMAGE,
                lambda access: FindImageCall(access=access, fingerprint=image.sha256),
                deadline_s=FIND_IMAGE_DEADLINE_S,
            )  # fmt: skip
        except (NotFound, WrongState) as error:
            name = f"{deployment.osystem}/{deployment.distro_series}"
            raise DeploymentFailed(
                f"{operation.host_name} does not have the image {name} any more: {error.message} Delete the entry "
                f"{name}, and add the image that is to be used."
            ) from error

    async def _new_host(self, operation: Operation, deployment: Deployment) -> PreparedHost:
        """Returns the host to add.

        Raises DeploymentFailed if the guest's hypervisor does not work, InvalidRequest if the host cannot be added.
        """
        async with self._tools.database.connection() as db:
            machine = await view_store.read(db, operation.system_id or "")
        setup = deployment.vm_host
        if setup is None or setup.sealed_key is None:
            raise DeploymentFailed(f"The key of the VM host on {machine.hostname} was deleted.")
        private_key = self._tools.seal.unseal_data(deployment.id, VM_HOST_KEY, setup.sealed_key).decode()
        return await self._tools.hosts.prepare(new_host(machine, setup, private_key))

    async def _seed(self, operation: Operation, deployment: Deployment, secret: str) -> CloudInitSeed:
        async with self._tools.database.connection() as db:
            machine = await view_store.read(db, operation.system_id or "")
            keys = await ssh_key_store.ssh_keys_of_user(db, machine.owner or "")
        sealed = deployment.sealed_user_data
        user_data = b"" if sealed is None else self._tools.seal.unseal_data(deployment.id, USER_DATA, sealed)
        return make_seed(
            machine, deployment, ssh_keys=keys, user_data=user_data,
            time_limit_s=self._tools.time_limit_s,
            report_to=report_url(self._tools.guest_url(), deployment.id, secret),
        )  # fmt: skip


async def _failed(db: Db, operation: Operation, target: Target, console: str) -> None:
    await fail_deployment(db, target.machine_id, operation.error_message or "", console=console)
    message = f"{target.spec.name} was not deployed: {operation.error_message}"
    await record_event(db, operation, "deployment_failed", message, level=Level.ERROR)
