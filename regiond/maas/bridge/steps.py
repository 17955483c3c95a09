"""Operation handlers that register machines in MAAS servers, and that end registrations."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from common.boot import BootDevice, BootOrder, BootOrders, begins_with, order_text
from common.errors import InnkeeperError, MaasRefused, NotFound, WrongState
from common.words.operation_kinds import OperationKind
from regiond.credentials.rewrap import MAAS_POWER_TOKEN
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.maas.bridge import registration_store
from regiond.maas.bridge.connections import Connections
from regiond.maas.bridge.maas_api import MaasApi, NewMaasRecord, create, is_ours, own_records, record_of, with_addresses
from regiond.maas.bridge.model import (
    MADE_WITHIN_S,
    EndOfRegistration,
    MaasServer,
    OfRegistration,
    PowerSecret,
    RegisterRequest,
    Registration,
    StoredRegistration,
)
from regiond.maas.bridge.registrations import NETWORK_FIRST
from regiond.machines.core.boot_store import record_order
from regiond.machines.core.steps import Target, record_event
from regiond.machines.core.view_store import read as read_machine
from regiond.machines.hardware.boot.order_calls import restore_order, set_order
from regiond.operations.handler import Journal, Outcome
from regiond.operations.model import Operation
from regiond.racks.calls.host_calls import HostCalls

UNDO_TRIES = 5  # to reach MAAS; then what may be left there is reported, and the machine is free again
_NO_RECORD = ("missing",)


@frozen
class BridgeTools:
    """The tools of both handlers. `power_url` is the address of this region for servers that name none."""

    database: Database
    connections: Connections
    seal: Credentials
    power_url: Callable[[], str]

    async def registration(self, operation: Operation) -> Registration | None:
        async with self.database.connection() as db:
            return await registration_store.of_power_id(db, operation.request_as(OfRegistration).registration)

    def base_url(self, server: MaasServer) -> str:
        return server.power_url or self.power_url()

    async def delete_record(self, api: MaasApi, found: Registration) -> tuple[str, ...]:
        """Deletes the record of the machine in MAAS; returns the ids, none if that has none of it. Idempotent."""
        ids = [one.system_id for one in await record_of(api, found)]
        for system_id in ids:
            try:
                await api.delete(f"machines/{system_id}/")
            except MaasRefused as error:
                if error.details.get("reason") not in _NO_RECORD:  # a proxy, too, may answer 404
                    raise
        return tuple(ids)


class RegisterInMaas:
    """Makes a machine boot from the network first, then creates its record in MAAS, which may start it at once."""

    kind = OperationKind.REGISTER

    def __init__(self, calls: HostCalls, tools: BridgeTools) -> None:
        self._calls = calls
        self._tools = tools

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, found = Target.of(operation), await self._tools.registration(operation)
        if found is None:
            raise WrongState(f"The registration of {operation.hostname} has ended meanwhile.")
        orders = await self._boot_from_network(operation, target, journal)
        server, api = await self._tools.connections.open(found.server_id)
        record = self._record(operation, server, found)
        maas_system_id = await self._registered(api, record, found, journal)

        async def registered(db: Db) -> None:
            if orders is not None:
                await record_order(db, target.machine_id, orders)
            await registration_store.complete(db, found.id, maas_system_id)
            message = f"{operation.hostname} was registered in the MAAS server {server.name} as {maas_system_id}"
            await record_event(db, operation, "machine_registered", message)

        result = {"maas_server": server.name, "maas_system_id": maas_system_id}
        return Outcome(result=result, record=registered)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Deletes the record that was made and gives the guest its boot order again.

        A MAAS that does not answer does not keep the machine busy: then the reconciler reports what may be left there.
        """
        found = await self._tools.registration(operation)
        if operation.machine_id is None:
            return Outcome()
        target, before = Target.of(operation), operation.request_as(StoredRegistration).before
        orders = await restore_order(self._calls, operation, target, before, journal)
        left, undone = "", tuple(["boot order as before"] if orders is not None else [])
        if found is not None and found.asked:
            await journal.step("remove_from_maas", server=found.server)
            left, removed = await self._remove(operation, found)
            undone += removed

        async def record(db: Db) -> None:
            if orders is not None:
                await record_order(db, target.machine_id, orders)
            if found is not None:
                await (registration_store.unlink if left else registration_store.delete)(db, found.id)
            message = f"{operation.hostname} was not registered in MAAS: {operation.error_message}{left}"
            await record_event(db, operation, "maas_registration_failed", message, level=Level.WARNING)

        return Outcome(undone=undone, record=record)

    async def _boot_from_network(self, operation: Operation, target: Target, journal: Journal) -> BootOrders | None:
        """Returns None if the guest boots so already."""
        if operation.request_as(StoredRegistration).before[:1] == (BootDevice.NETWORK,):
            return None
        await journal.step("set_boot_order", reaches_host=True, order=[one.value for one in NETWORK_FIRST])
        return await set_order(self._calls, operation, target, NETWORK_FIRST)

    def _record(self, operation: Operation, server: MaasServer, found: Registration) -> NewMaasRecord:
        if found.sealed_token is None:
            raise WrongState(f"The secret of {operation.hostname} for power was given to MAAS already.")
        token = self._tools.seal.unseal_data(found.id, MAAS_POWER_TOKEN, found.sealed_token).decode()
        stored = operation.request_as(StoredRegistration)
        return NewMaasRecord(
            hostname=found.hostname,
            architecture=stored.architecture,
            mac_addresses=found.mac_addresses,
            base_url=self._tools.base_url(server),
            secret=PowerSecret(power_id=found.power_id, token=token),
            verify_tls=server.verify_power_tls,
            request=RegisterRequest(server=server.name, commission=stored.commission, deployed=stored.deployed),
        )

    async def _registered(self, api: MaasApi, record: NewMaasRecord, found: Registration, journal: Journal) -> str:
        """Returns the id in MAAS: of the record that an earlier attempt made, whose answer was lost, else of a new one.

        Raises WrongState if MAAS knows one of the addresses as another machine's.
        """
        present = await with_addresses(api, record.mac_addresses)
        for one in present:
            if await is_ours(api, one.system_id, found.power_id):
                return one.system_id
        if present:
            other = present[0]
            shared = sorted(other.mac_addresses & {mac.lower() for mac in record.mac_addresses})
            raise WrongState(
                f"The MAAS server {found.server} has a machine {other.hostname} ({other.system_id}) with the MAC "
                f"address {', '.join(shared) or 'of this one'}: it may have booted from its network before. Delete "
                "it there, then register this one again.",
                maas_system_id=other.system_id,
            )
        return await self._created(api, record, found, journal)

    async def _created(self, api: MaasApi, record: NewMaasRecord, found: Registration, journal: Journal) -> str:
        """From the note on, MAAS may have a record whose id is not known."""

        async def asked(db: Db) -> None:
            await registration_store.record_asked(db, found.id)

        async def refused(db: Db) -> None:
            await registration_store.record_refused(db, found.id)

        await journal.write("register_in_maas", asked)
        try:
            return (await create(api, record)).system_id
        except MaasRefused:
            for one in await own_records(api, found):  # of an earlier request, which was carried out only now
                return one.system_id
            if not found.asked:
                await journal.write("register_in_maas", refused)
            raise

    async def _remove(self, operation: Operation, found: Registration) -> tuple[str, tuple[str, ...]]:
        """Returns what may be left in MAAS, as the end of a sentence, and what was undone.

        A record that is not there may still be made: the request for it was sent, and its answer is not known.
        """
        try:
            _, api = await self._tools.connections.open(found.server_id)
            ids = await self._tools.delete_record(api, found)
        except InnkeeperError as error:
            if error.retryable and operation.failures < UNDO_TRIES:
                raise
            return f" What may be left of it there is reported: {error.message}", ()
        if not ids:
            return f" The MAAS server {found.server} has nothing of it yet, and is asked again later.", ()
        return "", tuple(f"machine {one} deleted in {found.server}" for one in ids)


class UnregisterFromMaas:
    """Gives the guest its boot order of before, deletes the record in MAAS unless it is to be kept, and forgets it.

    The machine may be gone. The record is deleted last, because it cannot be made again.
    """

    kind = OperationKind.UNREGISTER

    def __init__(self, calls: HostCalls, tools: BridgeTools) -> None:
        self._calls = calls
        self._tools = tools

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        found = await self._ending(operation)
        if found is None:
            return Outcome()
        if operation.machine_id is None and found.machine_id is not None:
            await journal.note("the machine is back and stays registered", machine=found.system_id, server=found.server)
            return Outcome()
        request = operation.request_as(EndOfRegistration)
        keeps = request.keep_record
        order, as_now = await self._restore_order(operation, journal)
        await journal.step("forget_in_maas" if keeps else "remove_from_maas", server=found.server)
        ids: tuple[str, ...] = ()
        if not keeps:
            _, api = await self._tools.connections.open(found.server_id)
            ids = await self._tools.delete_record(api, found)

        async def record(db: Db) -> None:
            what = f"the record {found.maas_system_id or ''} stays there" if keeps else "its record was deleted there"
            if request.is_lost or not (ids or keeps):
                what = "that had no record of it any more"
            if ids or keeps or found.maas_system_id is not None:
                await registration_store.delete(db, found.id)
            elif not await registration_store.settle(db, found.id, MADE_WITHIN_S):
                what = "that has nothing of it yet, and is asked again later"
            boots = f"; it boots from {order_text(order)} again" if order else ""
            message = (
                f"{operation.hostname} is no longer registered in the MAAS server {found.server}; {what}{boots}{as_now}"
            )
            await record_event(db, operation, "machine_unregistered", message)

        return Outcome(result={"maas_server": found.server, "deleted": list(ids)}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """The registration remains, and the boot order that it needs; the reconciler shows one without machine."""
        orders: BootOrders | None = None
        request = operation.request_as(EndOfRegistration)
        if operation.machine_id is not None and request.order:
            target = Target.of(operation)
            orders = await restore_order(self._calls, operation, target, request.before or (), journal)

        async def record(db: Db) -> None:
            if orders is not None and operation.machine_id is not None:
                await record_order(db, operation.machine_id, orders)
            message = f"{operation.hostname} is still registered in MAAS: {operation.error_message}"
            await record_event(db, operation, "maas_registration_left", message, level=Level.WARNING)

        return Outcome(undone=("registration not ended",), record=record)

    async def _ending(self, operation: Operation) -> Registration | None:
        """Returns the registration; that of a machine that was gone as its return leaves it.

        It may return with its host, or be adopted again, while somebody approves that its record is deleted: from what
        was read before this operation was there, the registration becomes that of its new row. A transaction that is
        doing so is waited for.
        """
        if operation.machine_id is not None:
            return await self._tools.registration(operation)
        async with self._tools.database.transaction() as db:
            return await registration_store.locked(db, operation.request_as(OfRegistration).registration)

    async def _restore_order(self, operation: Operation, journal: Journal) -> tuple[BootOrder, str]:
        """Returns what the guest boots from again, empty if that does not change, and why not as the end of a sentence.

        It is recorded at once: a later attempt does not ask the host again, which may not answer any more. A host that
        cannot do it does not keep the record.
        """
        order = operation.request_as(EndOfRegistration).order or ()
        if not order or operation.machine_id is None:
            return (), ""
        restored = await self._restored(operation, order)
        if restored:
            return restored, ""
        target = Target.of(operation)
        await journal.step("restore_boot_order", reaches_host=True, order=[one.value for one in order])
        try:
            orders = await set_order(self._calls, operation, target, order)
        except InnkeeperError as error:
            if error.retryable and operation.failures < UNDO_TRIES:
                raise
            return (), f"; it boots from the network first as before: {error.message}"
        await journal.write("restore_boot_order", lambda db: record_order(db, target.machine_id, orders))
        return orders.pending or orders.order, ""

    async def _restored(self, operation: Operation, order: BootOrder) -> BootOrder:
        """Returns what an earlier attempt has made the guest boot from, else nothing."""
        try:
            async with self._tools.database.connection() as db:
                machine = await read_machine(db, operation.system_id or "")
        except NotFound:  # its host was removed just now
            return ()
        now = machine.boot.lasting or ()
        return now if begins_with(now, order) else ()
