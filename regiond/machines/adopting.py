"""Guests that were there before become machines, and machines become foreign guests again; nothing is restarted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from attrs import define, field, frozen

from common.errors import InvalidRequest, NotFound, OutOfCapacity, WrongState
from common.values import DriverType, Mark
from common.wire import to_plain
from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.hosts.handover import HostGuest, guests_of
from regiond.hosts.model import HostView
from regiond.hosts.service import Hosts
from regiond.machines import adoption_store, forgotten, store
from regiond.machines.adoption_store import Named, Standing
from regiond.machines.model import Adopted, AdoptRequest, ForgottenMachine, MachineView
from regiond.machines.opening import check_settled
from regiond.machines.requests import MAX_FAILURES, request_of
from regiond.machines.spec import known_spec
from regiond.names import check_hostname, legal_hostname, new_system_id
from regiond.operations import store as operation_store
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Operations
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

ID_TRIES = 8


@frozen(kw_only=True)
class _Begun:
    guest_name: str
    machine: Named | None = None
    operation_id: int | None = None
    refused: str | None = None


class Adoption:
    def __init__(
        self,
        database: Database,
        operations: Operations,
        hosts: Hosts,
        calls: HostCalls,
        *,
        installation_id: UUID,
    ) -> None:
        self._database = database
        self._operations = operations
        self._hosts = hosts
        self._calls = calls
        self._installation_id = installation_id

    async def start_adopt(
        self, caller: Caller, host_id: int, request: AdoptRequest, *, need_rack: bool = False
    ) -> tuple[Adopted, ...]:
        """The committed intents, an operation for each guest. A guest that is a machine already, or is just becoming
        one, is no error.

        Raises InvalidRequest when a guest that was named is not there or cannot be adopted, and then nothing was
        written; with `everything` such guests are among the answers. With `need_rack` RackUnreachable.
        """
        caller.require_admin()
        host = await self._hosts.read(host_id)
        if need_rack:
            await self._calls.require(host_id)
        async with self._database.transaction() as db:
            found = await guests_of(db, host_id)
            begin = _Beginning(
                host=host,
                account_id=caller.account_id,
                installation_id=self._installation_id,
                standing=await _standing(db, host_id, found, self._installation_id),
            )
            begun = [await begin.one(db, guest, request.hostname) for guest in _chosen(found, request, host.name)]
            if not request.everything and any(one.refused for one in begun):
                raise InvalidRequest.of(
                    {"guests": [f"{one.guest_name}: {one.refused}" for one in begun if one.refused]}
                )
        return tuple([await self._adopted(one) for one in begun])

    async def start_forget(self, caller: Caller, system_id: str, *, need_rack: bool = False) -> Operation:
        """Raises NotFound, Busy, WrongState, RackUnreachable (with `need_rack`)."""
        caller.require_admin()
        async with self._database.connection() as db:
            machine = await store.read(db, system_id)
        check_settled(machine)
        if need_rack and machine.host_id is not None:
            await self._calls.require(machine.host_id)
        async with self._database.transaction() as db:
            operation_id = await open_forget(db, machine, self._installation_id, account_id=caller.account_id)
        return await self._operations.read(operation_id)

    async def forgotten(self) -> tuple[ForgottenMachine, ...]:
        """Machines whose host was removed while their guests stayed, the longest forgotten first."""
        async with self._database.connection() as db:
            return await forgotten.list_forgotten(db)

    async def _adopted(self, begun: _Begun) -> Adopted:
        operation = None if begun.operation_id is None else await self._operations.read(begun.operation_id)
        return Adopted(
            guest_name=begun.guest_name,
            system_id=begun.machine.system_id if begun.machine else None,
            hostname=begun.machine.hostname if begun.machine else None,
            operation=operation,
            refused=begun.refused,
        )


async def open_forget(db: Db, machine: MachineView, installation_id: UUID, *, account_id: int | None) -> int:
    """The operation's id. Raises Busy, NotFound."""
    guest = await adoption_store.guest_of(db, machine.id)
    key, name = guest or ("", machine.hostname)
    spec = known_spec(machine, installation_id)
    return await operation_store.insert(
        db, OperationKind.FORGET, host_id=machine.host_id, host_name=machine.host_name, machine_id=machine.id,
        system_id=machine.system_id, hostname=machine.hostname, account_id=account_id,
        request=request_of(spec, guest={"key": key, "name": name}), max_failures=MAX_FAILURES,
    )  # fmt: skip


async def open_adoption(db: Db, host: HostView, guest_id: int, installation_id: UUID) -> tuple[str, int]:
    """The new machine's hostname and the operation's id. Raises NotFound, and WrongState when it cannot be adopted."""
    found = await guests_of(db, host.id)
    guest = next((one for one in found if one.id == guest_id), None)
    if guest is None:
        raise NotFound(f"{host.name} has no such virtual machine any more.", host=host.id)
    standing = await _standing(db, host.id, found, installation_id)
    begin = _Beginning(host=host, account_id=None, installation_id=installation_id, standing=standing)
    begun = await begin.one(db, guest, None)
    if begun.machine is None or begun.operation_id is None:
        why = begun.refused or "it is a machine already"
        raise WrongState(f"{guest.row.name} on {host.name} cannot be adopted: {why}.", guest=guest.row.name)
    return begun.machine.hostname, begun.operation_id


async def _standing(db: Db, host_id: int, found: Sequence[HostGuest], installation_id: UUID) -> Standing:
    marks = [
        one.row.marked_machine
        for one in found
        if one.row.marked_machine is not None and one.row.marked_installation == installation_id
    ]
    machine_ids = [one.row.machine_id for one in found if one.row.machine_id is not None]
    return await adoption_store.standing(db, host_id, machine_ids, marks)


def _chosen(found: Sequence[HostGuest], request: AdoptRequest, host_name: str) -> list[HostGuest]:
    """Raises InvalidRequest with all that are not there."""
    if request.everything:
        return [guest for guest in found if guest.row.machine_id is None]
    known: Mapping[str, HostGuest] = {  # an id means what it says, also when another guest is called so
        **{guest.row.name: guest for guest in found},
        **{guest.row.guest_key: guest for guest in found},
        **{str(guest.id): guest for guest in found},
    }
    absent = [name for name in request.guests if name not in known]
    if absent:
        raise InvalidRequest.of({"guests": [f"{host_name} has no virtual machine '{name}'." for name in absent]})
    return list({known[name].id: known[name] for name in request.guests}.values())


def refusal(guest: HostGuest, installation_id: UUID, standing: Standing) -> str | None:
    """Why a guest that is no machine cannot become one; None when it can."""
    row = guest.row
    if row.kind != "vm":
        return f"it is a {row.kind}, and only virtual machines can be machines"
    if row.marked_installation not in (None, installation_id):
        return f"it carries the mark of another installation, {row.marked_installation}; have that one forget it first"
    if row.marked_installation is not None and row.marked_machine in standing.marked:
        return f"it carries the mark of machine {row.marked_machine}, which is another guest (a copy?)"
    if row.marked_installation is not None and row.marked_machine in standing.given_up:
        return "it belongs to a machine that was deleted, and is being removed"
    if row.cores < 1 or row.memory_mib < 1:
        return "its cores or memory could not be read; refresh the host when they can"
    return None


@define(kw_only=True)
class _Beginning:
    """Opens adoptions on one host, inside one transaction. Guests of one request may not get the same name."""

    host: HostView
    account_id: int | None
    installation_id: UUID
    standing: Standing
    named: set[str] = field(factory=set)

    async def one(self, db: Db, guest: HostGuest, hostname: str | None) -> _Begun:
        row = guest.row
        if row.machine_id is not None:
            return _Begun(guest_name=row.name, machine=self.standing.machines[row.machine_id])
        under_way = self.standing.under_way.get(guest.id)
        if under_way is not None:
            return _Begun(guest_name=row.name, machine=under_way, operation_id=under_way.id)
        refused = refusal(guest, self.installation_id, self.standing)
        if refused is not None:
            return _Begun(guest_name=row.name, refused=refused)
        return await self._open(db, guest, hostname)

    async def _open(self, db: Db, guest: HostGuest, hostname: str | None) -> _Begun:
        uuid = self._machine_uuid(guest)
        before = await forgotten.names_of(db, uuid)
        name = check_hostname(hostname) if hostname else legal_hostname(guest.row.name)
        if name in self.named or await store.taken_hostnames(db, [name]):
            if hostname:
                raise InvalidRequest.of({"hostname": [f'Node with hostname "{name}" already exists']})
            message = f"a machine named {name} is there already; adopt this one alone and give it a hostname"
            return _Begun(guest_name=guest.row.name, refused=message)
        self.named.add(name)
        made = await self._insert(db, guest, uuid, name, before[0] if before else new_system_id())
        if isinstance(made, str):
            return _Begun(guest_name=guest.row.name, refused=made)
        await forgotten.drop(db, uuid)
        operation_id = await self._intent(db, guest, uuid, made)
        return _Begun(guest_name=guest.row.name, machine=made, operation_id=operation_id)

    def _machine_uuid(self, guest: HostGuest) -> UUID:
        """A mark that the ledger has never heard of is kept; libvirt's domains are known by their own id."""
        if guest.row.marked_machine is not None:
            return guest.row.marked_machine
        return UUID(guest.row.guest_key) if self.host.driver is DriverType.LIBVIRT else uuid4()

    async def _insert(self, db: Db, guest: HostGuest, uuid: UUID, hostname: str, system_id: str) -> Named | str:
        """The machine's row, or why there can be none."""
        row = guest.row
        for _ in range(ID_TRIES):
            try:
                machine_id = await adoption_store.insert(
                    db, uuid=uuid, system_id=system_id, hostname=hostname, host_id=self.host.id,
                    power_state=row.power_state, architecture=row.architecture or self.host.architecture or "amd64",
                    cores=row.cores, memory_mib=row.memory_mib,
                )  # fmt: skip
            except store.Taken as taken:
                if "system_id" not in taken.constraint:
                    what = f"the name {hostname}" if "hostname" in taken.constraint else f"the id {uuid}"
                    return f"another machine has {what}"
                system_id = new_system_id()
            else:
                return Named(id=machine_id, system_id=system_id, hostname=hostname)
        raise OutOfCapacity("No free system id was found; try again.")

    async def _intent(self, db: Db, guest: HostGuest, uuid: UUID, made: Named) -> int:
        mark = Mark(installation_id=self.installation_id, machine_id=uuid)
        request: dict[str, Any] = {
            "guest": {"id": guest.id, "key": guest.row.guest_key, "name": guest.row.name, "project": guest.row.project},
            "mark": to_plain(mark),
            "was_marked": guest.row.marked_machine is not None,
        }
        return await operation_store.insert(
            db, OperationKind.ADOPT, host_id=self.host.id, host_name=self.host.name, machine_id=made.id,
            system_id=made.system_id, hostname=made.hostname, account_id=self.account_id, request=request,
            max_failures=MAX_FAILURES,
        )  # fmt: skip
