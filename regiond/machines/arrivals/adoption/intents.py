"""Opens the operations that adopt guests and forget machines, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

from attrs import evolve, frozen

from common.errors import InvalidRequest, NotFound, OutOfCapacity, WrongState
from common.values import DriverType, OwnershipMarker
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.hosts.guest_ownership import lock_guests
from regiond.hosts.model import HostGuest, HostView
from regiond.machines.arrivals.adoption import imported_store, store
from regiond.machines.arrivals.adoption.imported_store import NewImport
from regiond.machines.arrivals.adoption.model import AdoptionContext, MachineName, obstacle_to_adoption
from regiond.machines.arrivals.adoption.owner import give
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core import store as machine_store
from regiond.machines.core.guest_spec import known_spec
from regiond.machines.core.operation_intents import MAX_FAILURES, check_settled
from regiond.machines.core.ownership_rules import check_unlocked
from regiond.machines.detached import detached_store
from regiond.machines.values.adoption import AdoptionRequest, ForgetRequest, GuestToAdopt, GuestToForget
from regiond.machines.values.guest_request import GuestRequest
from regiond.machines.values.model import MachineView
from regiond.operations import intent_store
from regiond.operations.model import stored_request
from regiond.requests.caller import Caller
from regiond.requests.identifiers import check_hostname, legal_hostname, new_system_id

SYSTEM_ID_ATTEMPTS = 8


@frozen(kw_only=True)
class AdoptionIntent:
    """The outcome for one guest: the operation that adopts it, the machine that it is, or the reason of a rejection."""

    guest_name: str
    machine: MachineName | None = None
    operation_id: int | None = None
    rejection: str | None = None


async def open_forget(db: Db, machine: MachineView, installation_id: UUID, *, account_id: int | None) -> int:
    """Returns the id of the operation that removes the marker and the machine's row. Raises Busy, NotFound."""
    guest = await machine_store.read_guest(db, machine.id)
    key, name = guest or ("", machine.hostname)
    spec = known_spec(machine, installation_id)
    return await intent_store.insert(
        db, OperationKind.FORGET, host_id=machine.host_id, host_name=machine.host_name, machine_id=machine.id,
        system_id=machine.system_id, hostname=machine.hostname, account_id=account_id,
        request=stored_request(GuestRequest(spec=spec), ForgetRequest(guest=GuestToForget(key=key, name=name))),
        max_failures=MAX_FAILURES,
    )  # fmt: skip


async def open_adoption(db: Db, host: HostView, guest_id: int, installation_id: UUID) -> tuple[str, int]:
    """Returns the new machine's hostname and the operation's id. The machine has no owner.

    Raises NotFound if the host has no such guest, WrongState if the guest cannot be adopted.
    """
    guests = await lock_guests(db, host.id)
    guest = next((one for one in guests if one.id == guest_id), None)
    if guest is None:
        raise NotFound(f"{host.name} has no virtual machine with id {guest_id}.", host=host.id)
    intents = await AdoptionIntents.on_host(db, host, guests, installation_id, caller=None, owner=None)
    intent = await intents.open(db, guest, None)
    if intent.machine is None or intent.operation_id is None:
        reason = intent.rejection or "it is already a machine"
        raise WrongState(f"Cannot adopt {guest.record.name} on {host.name}: {reason}.", guest=guest.record.name)
    return intent.machine.hostname, intent.operation_id


@frozen(kw_only=True)
class AdoptionIntents:
    """Opens adoptions of guests of one host within one transaction, each with a hostname of its own.

    The machines belong to `owner`; with `gives`, also guests that are machines already or are being adopted.
    """

    host: HostView
    caller: Caller | None
    owner: Caller | None
    gives: bool
    installation_id: UUID
    context: AdoptionContext

    @classmethod
    async def on_host(
        cls,
        db: Db,
        host: HostView,
        guests: Sequence[HostGuest],
        installation_id: UUID,
        *,
        caller: Caller | None,
        owner: Caller | None,
        gives: bool = False,
    ) -> AdoptionIntents:
        """Returns the intents for `guests`, which are all guests of the host, locked by the caller."""
        marked_machines = [
            guest.record.marker_machine
            for guest in guests
            if guest.record.marker_machine is not None and guest.record.marker_installation == installation_id
        ]
        machine_ids = [guest.record.machine_id for guest in guests if guest.record.machine_id is not None]
        context = await store.read_context(db, host.id, machine_ids, marked_machines)
        return cls(host=host, caller=caller, owner=owner, gives=gives, installation_id=installation_id, context=context)

    async def open(
        self, db: Db, guest: HostGuest, hostname: str | None, imported: NewImport | None = None
    ) -> AdoptionIntent:
        """Returns the outcome. Opens the adoption unless the guest is a machine, is being adopted or cannot be adopted.

        `hostname` defaults to a legal form of the guest's name; a machine keeps its name, or is renamed to a given one.
        Raises InvalidRequest if a given one is taken or cannot be set, or for a machine whose owner cannot change; Busy
        and WrongState as `check_settled`. With `imported` the machine begins with what that says.
        """
        row = guest.record
        if row.machine_id is not None:
            machine = await _renamed(db, self.context.machines[row.machine_id], hostname)
            await self._give(db, machine)
            return AdoptionIntent(guest_name=row.name, machine=machine)
        pending = self.context.pending.get(guest.id)
        if pending is not None:
            _check_pending_name(row.name, pending, hostname)
            await self._give(db, pending)
            return AdoptionIntent(guest_name=row.name, machine=pending, operation_id=pending.id)
        obstacle = obstacle_to_adoption(guest, self.installation_id, self.context)
        if obstacle is not None:
            return AdoptionIntent(guest_name=row.name, rejection=obstacle)
        return await self._insert(db, guest, hostname, imported)

    async def _give(self, db: Db, machine: MachineName) -> None:
        if self.gives and self.caller is not None and self.owner is not None:
            await give(db, self.caller, machine.system_id, self.owner)

    async def _insert(
        self, db: Db, guest: HostGuest, hostname: str | None, imported: NewImport | None
    ) -> AdoptionIntent:
        uuid = self._machine_uuid(guest)
        detached = await detached_store.names_of(db, uuid)
        name = check_hostname(hostname) if hostname else legal_hostname(guest.record.name)
        system_id = detached[0] if detached else imported.machine.system_id if imported else new_system_id()
        try:
            machine = await self._insert_machine(db, guest, uuid, name, system_id, is_fixed=imported is not None)
        except machine_store.IdentifierTaken as taken:
            if "system_id" in taken.constraint:
                reason = f"another machine or a VM host has the id {system_id}"
            elif "hostname" not in taken.constraint:
                reason = f"another machine has the UUID {uuid}"
            elif hostname and imported is None:
                raise InvalidRequest.of({"hostname": [f'Node with hostname "{name}" already exists']}) from taken
            else:
                reason = f"another machine or device is named {name}; adopt this guest alone with a hostname"
            return AdoptionIntent(guest_name=guest.record.name, rejection=reason)
        await detached_store.relink(db, uuid, machine.id)
        await detached_store.drop(db, uuid)
        if imported is not None:
            await imported_store.begin(db, machine.id, imported)
        operation_id = await self._insert_operation(db, guest, uuid, machine, imported)
        return AdoptionIntent(guest_name=guest.record.name, machine=machine, operation_id=operation_id)

    def _machine_uuid(self, guest: HostGuest) -> UUID:
        """Returns the UUID of an existing marker, else a new one.

        On libvirt the new one is the domain's own UUID, by which a listing without markers finds the machine.
        """
        if guest.record.marker_machine is not None:
            return guest.record.marker_machine
        return UUID(guest.record.guest_key) if self.host.driver is DriverType.LIBVIRT else uuid4()

    async def _insert_machine(
        self, db: Db, guest: HostGuest, uuid: UUID, hostname: str, system_id: str, *, is_fixed: bool
    ) -> MachineName:
        """Inserts the machine; replaces a `system_id` that is taken, unless it `is_fixed`.

        Raises IdentifierTaken for a hostname or UUID, or a fixed id.
        """
        row = guest.record
        for _ in range(SYSTEM_ID_ATTEMPTS):
            try:
                machine_id = await store.insert(
                    db, uuid=uuid, system_id=system_id, hostname=hostname, host_id=self.host.id,
                    power_state=row.power_state, architecture=row.architecture or self.host.architecture or "amd64",
                    cores=row.cores, memory_mib=row.memory_mib,
                    owner_id=None if self.owner is None else self.owner.account_id,
                )  # fmt: skip
            except machine_store.IdentifierTaken as taken:
                if is_fixed or "system_id" not in taken.constraint:
                    raise
                system_id = new_system_id()
            else:
                return MachineName(id=machine_id, system_id=system_id, hostname=hostname)
        raise OutOfCapacity(f"{SYSTEM_ID_ATTEMPTS} random system ids are all taken; try again.")

    async def _insert_operation(
        self, db: Db, guest: HostGuest, uuid: UUID, machine: MachineName, imported: NewImport | None
    ) -> int:
        marker = OwnershipMarker(installation_id=self.installation_id, machine_id=uuid)
        row = guest.record
        request = AdoptionRequest(
            guest=GuestToAdopt(id=guest.id, key=row.guest_key, name=row.name, project=row.project),
            marker=marker, had_marker=row.marker_machine is not None,
            becomes=None if imported is None else imported.machine.state,
            locked=None if imported is None else imported.machine.locked,
            owned=None if imported is None else imported.owner_id is not None,
        )  # fmt: skip
        return await intent_store.insert(
            db, OperationKind.ADOPT, host_id=self.host.id, host_name=self.host.name, machine_id=machine.id,
            system_id=machine.system_id, hostname=machine.hostname,
            account_id=None if self.caller is None else self.caller.account_id,
            request=stored_request(request), max_failures=MAX_FAILURES,
            parent=None if imported is None else imported.parent,
        )  # fmt: skip


async def _renamed(db: Db, machine: MachineName, hostname: str | None) -> MachineName:
    """Returns the machine with the requested name, which it has now.

    Raises InvalidRequest if another one has it, NotAllowed if the machine is locked.
    """
    name = check_hostname(hostname) if hostname else machine.hostname
    if name == machine.hostname:
        return machine
    await lifecycle_store.lock(db, [machine.system_id])
    now = await view_store.read(db, machine.system_id)
    check_unlocked(now)
    check_settled(now)
    await lifecycle_store.update(db, machine.id, hostname=name)
    return evolve(machine, hostname=name)


def _check_pending_name(guest_name: str, pending: MachineName, hostname: str | None) -> None:
    """Raises InvalidRequest if the guest is being adopted with another name, which its operation has stored."""
    if hostname and check_hostname(hostname) != pending.hostname:
        message = (
            f"{guest_name} is being adopted as {pending.hostname} (operation {pending.id}). When that has "
            f"ended, rename it with: machine update {pending.system_id} hostname={hostname}"
        )
        raise InvalidRequest.of({"hostname": [message]})
