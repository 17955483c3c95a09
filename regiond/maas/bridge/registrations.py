"""Opens the operations that register machines in MAAS servers, and those that end that."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from attrs import frozen

from common.boot import BootDevice, BootOrder, begins_with, known_devices, order_text
from common.errors import InvalidRequest, WrongState
from common.values import PowerState
from common.words.operation_kinds import OperationKind
from regiond.credentials.rewrap import MAAS_POWER_TOKEN
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.maas.bridge import registration_store, server_store
from regiond.maas.bridge.model import (
    EndOfRegistration,
    MaasServer,
    PowerSecret,
    RegisterRequest,
    Registration,
    RegistrationPlan,
    StoredRegistration,
)
from regiond.machines.core.operation_intents import open_operation
from regiond.machines.core.view_store import read as read_machine
from regiond.machines.hardware.boot.model import check_has_devices, present_devices
from regiond.machines.hardware.requests import HardwareRequests, changeable
from regiond.machines.values.model import MachineView
from regiond.operations import intent_store
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, stored_request
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.identifiers import findable
from regiond.requests.validation_messages import no_object

MAX_FAILURES = 20  # some minutes, or twenty if MAAS does not answer: the machine waits meanwhile
NETWORK_FIRST = (BootDevice.NETWORK, BootDevice.DISK)


@frozen
class Registrations:
    """Registers machines. Every operator of its pool may register a machine without owner, as it may change it."""

    database: Database
    requests: HardwareRequests
    seal: Credentials
    installation_id: UUID

    async def start(
        self,
        caller: Caller,
        system_id: str,
        request: RegisterRequest,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """Returns the operation that registers the machine.

        Raises NotFound, NotAllowed, InvalidRequest for an unknown server, WrongState for a machine that is registered,
        that has no NIC or Secure Boot, or that runs and would be restarted, Busy, and RackUnreachable with `need_rack`.
        """
        return await self.requests.start(
            caller, system_id, lambda db: self._open(db, caller, system_id, request),
            idempotency_key=idempotency_key, need_rack=need_rack,
        )  # fmt: skip

    async def plan(self, caller: Caller, system_id: str, request: RegisterRequest) -> RegistrationPlan:
        """Returns what `start` would change, and changes nothing. Raises its errors."""
        return await self.requests.plan(lambda db: self._open(db, caller, system_id, request))

    async def start_end(
        self,
        caller: Caller,
        system_id: str,
        *,
        keep_record: bool = False,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation:
        """Returns the operation that ends the registration, and deletes the record in MAAS unless `keep_record`.

        Raises NotFound, NotAllowed, WrongState for a machine that is not registered, Busy.
        """
        return await self.requests.start(
            caller, system_id, lambda db: self._open_end(db, caller, system_id, keep_record=keep_record),
            idempotency_key=idempotency_key, need_rack=False,
        )  # fmt: skip

    async def end_plan(self, caller: Caller, system_id: str, *, keep_record: bool = False) -> DeletionPlan:
        """Returns what `start_end` would change, and changes nothing. Raises its errors."""
        return await self.requests.plan(lambda db: self._open_end(db, caller, system_id, keep_record=keep_record))

    async def problems(self, server: str) -> Sequence[str]:
        """Returns why no machine can be registered in a server of this name; nothing if one can."""
        async with self.database.connection() as db:
            if await server_store.server(db, findable(server)) is not None:
                return ()
            return (no_object("MAAS server", server, [one.name for one in await server_store.servers(db)]),)

    async def composed(self, db: Db, operation: Operation, server_name: str) -> None:
        """Opens the registration of a machine that the operation has just composed, in the transaction that ends it.

        If that is not possible any more, an event says why: the machine stays.
        """
        machine = await read_machine(db, operation.system_id or "")
        server = await server_store.server(db, findable(server_name))
        if server is None:
            message = f"{machine.hostname} was not registered in MAAS: there is no server {server_name!r} any more"
            await Events.record(
                db, "maas_registration_failed", message, level=Level.WARNING, host_id=machine.host_id,
                system_id=machine.system_id, operation_id=operation.id, account_id=operation.account_id,
                username=operation.username,
            )  # fmt: skip
            return
        request = RegisterRequest(server=server.name)
        await self._insert(db, machine, server, request, account_id=operation.account_id)

    async def deleted(self, db: Db, operation: Operation) -> None:
        """Opens the deletion of the records of a machine that the operation has just deleted, in its transaction."""
        for registration in await registration_store.of_system_id(db, operation.system_id or ""):
            await open_end(db, registration, account_id=operation.account_id)

    async def _open(
        self, db: Db, caller: Caller, system_id: str, request: RegisterRequest
    ) -> tuple[int, RegistrationPlan]:
        machine = await changeable(db, caller, system_id)
        server = await self._server(db, request.server)
        registered = await registration_store.of_machine(db, machine.id)
        if registered is not None:
            raise _registered_already(machine, registered)
        check_has_devices(machine, NETWORK_FIRST)
        _check_secure_boot(machine)
        _check_may_restart(machine, request)
        id_ = await self._insert(db, machine, server, request, account_id=caller.account_id)
        return id_, _plan(machine, server, request)

    async def _server(self, db: Db, name: str) -> MaasServer:
        found = await server_store.server(db, findable(name))
        if found is None:
            known = [one.name for one in await server_store.servers(db)]
            raise InvalidRequest.of({"server": [no_object("MAAS server", name, known)]})
        return found

    async def _insert(
        self,
        db: Db,
        machine: MachineView,
        server: MaasServer,
        request: RegisterRequest,
        *,
        account_id: int | None,
    ) -> int:
        """The address and the secret for power are chosen here, so that an attempt finds the record of another."""
        secret = PowerSecret.new()
        id_ = await open_operation(
            db, OperationKind.REGISTER, machine, self.installation_id, account_id=account_id,
            request=StoredRegistration(
                registration=secret.power_id, server=server.name, commission=request.commission,
                deployed=request.deployed, architecture=machine.architecture, before=machine.boot.lasting or (),
            ),
        )  # fmt: skip
        registration_id = await registration_store.insert(db, server.id, machine, secret)
        sealed = self.seal.seal_data(registration_id, MAAS_POWER_TOKEN, secret.token.encode())
        await registration_store.set_token(db, registration_id, sealed)
        return id_

    async def _open_end(self, db: Db, caller: Caller, system_id: str, *, keep_record: bool) -> tuple[int, DeletionPlan]:
        machine = await changeable(db, caller, system_id)
        registration = await registration_store.of_machine(db, machine.id)
        if registration is None:
            raise WrongState(f"{machine.hostname} is registered in no MAAS server.")
        id_ = await open_end_of(
            db, machine, registration, self.installation_id, keep_record=keep_record, account_id=caller.account_id
        )
        return id_, _end_plan(machine, registration, keep_record=keep_record)


async def open_end_of(
    db: Db,
    machine: MachineView,
    registration: Registration,
    installation_id: UUID,
    *,
    keep_record: bool,
    is_lost: bool = False,
    account_id: int | None = None,
) -> int:
    """Returns the operation that ends the registration of a machine, which gets its boot order of before again.

    With `is_lost` MAAS no longer has the record. Raises Busy, WrongState.
    """
    return await open_operation(
        db, OperationKind.UNREGISTER, machine, installation_id, account_id=account_id, max_failures=MAX_FAILURES,
        request=EndOfRegistration(
            registration=registration.power_id, server=registration.server, keep_record=keep_record, is_lost=is_lost,
            order=_order_after(machine, registration), before=machine.boot.lasting or (),
        ),
    )  # fmt: skip


def _order_after(machine: MachineView, found: Registration) -> BootOrder:
    """Returns the order that the machine gets again; empty if it has that, if another was chosen, or if none is known.

    A kind of device that it no longer has is left out.
    """
    now, before = machine.boot.lasting or (), known_devices(found.boot_before)
    after = present_devices(machine, before)
    return after if begins_with(now, NETWORK_FIRST) and not begins_with(now, after) else ()


async def open_end(db: Db, registration: Registration, *, account_id: int | None = None) -> int:
    """Returns the operation that deletes the record of a machine that is gone here."""
    return await intent_store.insert(
        db, OperationKind.UNREGISTER, host_id=None, host_name=None, system_id=registration.system_id,
        hostname=registration.hostname, account_id=account_id,
        request=stored_request(
            EndOfRegistration(registration=registration.power_id, server=registration.server, keep_record=False)
        ),
        max_failures=MAX_FAILURES,
    )  # fmt: skip


def _registered_already(machine: MachineView, found: Registration) -> WrongState:
    where = f"in {found.server}" + (f" as {found.maas_system_id}" if found.maas_system_id else "")
    return WrongState(
        f"{machine.hostname} is registered {where} already. To register it anew, end that first: innkeeper machine "
        f"unregister-from-maas {machine.hostname}",
        maas_server=found.server,
        maas_system_id=found.maas_system_id,
    )


def _check_secure_boot(machine: MachineView) -> None:
    """Raises WrongState for a machine whose firmware starts signed systems only, as a request to compose one."""
    if machine.settings.secure_boot is not True:
        return
    raise WrongState(
        f"{machine.hostname} has Secure Boot on, and MAAS starts machines from its network, with systems for which "
        f"this has to be off. Power it off, switch Secure Boot off on {machine.host_name}, then refresh that: "
        f"innkeeper vm-host refresh {machine.host_name}"
    )


def _check_may_restart(machine: MachineView, request: RegisterRequest) -> None:
    """Raises WrongState for a machine that runs, if MAAS would commission it at once."""
    if machine.power_state == PowerState.OFF or not request.commission or request.deployed:
        return
    raise WrongState(
        f"{machine.hostname} is {machine.power_state}, and MAAS would restart it at once to commission it. Power it "
        "off, give commission=false to let it run, or deployed=true if it has the system that it shall keep.",
        power_state=machine.power_state,
    )


def _plan(machine: MachineView, server: MaasServer, request: RegisterRequest) -> RegistrationPlan:
    does = "starts it at once to commission it" if request.commission else "does not start it until somebody asks there"
    if request.deployed:
        does = "takes it as deployed, as it runs"
    return RegistrationPlan(
        name=machine.hostname,
        effects=(
            f"{machine.hostname} boots from the network first, from its next start on.",
            f"The MAAS server {server.name} gets a machine {machine.hostname} that it can power on and off; it {does}.",
        ),
    )


def _end_plan(machine: MachineView, found: Registration, *, keep_record: bool) -> DeletionPlan:
    what = found.maas_system_id or machine.hostname
    record = AffectedRecord(kind=f"machine in the MAAS server {found.server}", id=what, name=machine.hostname)
    stays = (f"The MAAS server {found.server} can no longer switch it.",) if keep_record else ()
    order, now = _order_after(machine, found), machine.boot.lasting or ()
    boots = ""
    if order:
        boots = f", and boots from {order_text(order)} again, from its next start on"
    elif now[:1] == (BootDevice.NETWORK,):
        boots = ", and booting from the network first: set what it boots from before it restarts"
    return DeletionPlan(
        name=machine.hostname,
        deleted=() if keep_record else (record,),
        kept=(record,) if keep_record else (),
        effects=(*stays, f"{machine.hostname} goes on running{boots}."),
    )
