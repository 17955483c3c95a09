"""What an owner does with a machine, but for its power: give it back, keep data with it, call it broken or fixed.

And what administrators change of it: its name, where it belongs, its description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from common.errors import Busy, InvalidRequest, NotAllowed, NotFound, WrongState
from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.machines import life_store, store
from regiond.machines.life import Event, MachineState, fixed, move
from regiond.machines.model import MachineChange, MachineFilter, MachineView
from regiond.machines.opening import check_settled, open_operation
from regiond.names import check_hostname
from regiond.operations import store as operation_store
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Operations, request_hash
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

_FREE = (MachineState.NEW, MachineState.READY, MachineState.MISSING, MachineState.BROKEN)


class Keeping:
    def __init__(
        self,
        database: Database,
        operations: Operations,
        groups: Groups,
        calls: HostCalls,
        *,
        installation_id: UUID,
    ) -> None:
        self._database = database
        self._operations = operations
        self._groups = groups
        self._calls = calls
        self._installation_id = installation_id

    async def start_release(
        self,
        caller: Caller,
        system_id: str,
        *,
        comment: str = "",
        idempotency_key: str | None = None,
        need_rack: bool = False,
    ) -> Operation | None:
        """The operation that gives the machine back; one that is under way is that one. None when it is free already.

        A machine that allocation composed is destroyed. Raises NotFound, NotAllowed, WrongState, Busy, RackUnreachable
        (with `need_rack`), IdempotencyMismatch.
        """
        asked = {"kind": OperationKind.RELEASE.value, "system_id": system_id}

        async def open_() -> int:
            if need_rack:
                await self._require_rack(system_id)
            async with self._database.transaction() as db:
                (machine,) = await self._found(db, [system_id])
                if not _may_release(caller, machine):
                    raise _not_yours(machine)
                if machine.state is MachineState.RELEASING:
                    under_way = await operation_store.active(db, OperationKind.RELEASE, machine_id=machine.id)
                    if under_way is not None:
                        return under_way.id
                if _is_free(machine):
                    raise _FreeAlready
                operation_id = await self._open_release(db, caller, machine, comment)
                if idempotency_key is not None:
                    key_hash = request_hash(asked)
                    await operation_store.keep_key(db, caller.account_id, idempotency_key, key_hash, operation_id)
                return operation_id

        try:
            return await self._operations.once(caller, idempotency_key, asked, open_)
        except _FreeAlready:
            return None

    async def start_release_all(
        self, caller: Caller, system_ids: Sequence[str], *, comment: str = ""
    ) -> tuple[str, ...]:
        """The ids of those that are being given back; free ones are passed over. All of them, or none.

        Raises InvalidRequest for unknown ones, NotAllowed and WrongState with all that it is true of.
        """
        wanted = list(dict.fromkeys(system_ids))
        async with self._database.transaction() as db:
            try:
                machines = await self._found(db, wanted)
            except NotFound as error:
                raise InvalidRequest(error.message) from error
            foreign = [machine.system_id for machine in machines if not _may_release(caller, machine)]
            if foreign:
                raise NotAllowed(f"You don't have the required permission to release: {', '.join(foreign)}.")
            owned = [machine for machine in machines if not _is_free(machine)]
            _check_releasable(owned)
            for machine in sorted(owned, key=lambda machine: machine.id):  # so that no two wait for each other
                await self._open_release(db, caller, machine, comment)
        return tuple(machine.system_id for machine in owned)

    async def set_owner_data(self, caller: Caller, system_id: str, data: Mapping[str, str]) -> MachineView:
        """Keys that are not named stay; an empty value takes the key away. Raises NotFound, NotAllowed."""
        kept = {key: value for key, value in data.items() if value}
        async with self._database.transaction() as db:
            (machine,) = await self._locked(db, [system_id])
            _check_owner(caller, machine)
            await life_store.set_owner_data(db, machine.id, kept=kept, dropped=data.keys() - kept.keys())
            return await store.read(db, system_id)

    async def mark_broken(self, caller: Caller, system_id: str, why: str) -> MachineView:
        """Nobody is given it until it is fixed; its owner keeps it. Its guest is left alone.

        Raises NotFound, NotAllowed, WrongState.
        """
        async with self._database.transaction() as db:
            (machine,) = await self._locked(db, [system_id])
            _check_owner(caller, machine)
            await life_store.happens(db, machine.id, Event.MARK_BROKEN)
            await life_store.describe_error(db, machine.id, why)
            message = f"{machine.hostname} was marked broken" + (f": {why}" if why else "")
            await Events.record(db, "machine_marked_broken", message, caller=caller, system_id=system_id)
            return await store.read(db, system_id)

    async def mark_fixed(self, caller: Caller, system_id: str, why: str = "") -> MachineView:
        """Ready, or its owner's; new when no look at its host has found its guest since. Raises as `mark_broken`."""
        async with self._database.transaction() as db:
            (machine,) = await self._locked(db, [system_id])
            _check_owner(caller, machine)
            event = fixed(owned=machine.owner is not None, seen=machine.guest_id is not None)
            await life_store.happens(db, machine.id, event)
            await life_store.describe_error(db, machine.id, "")
            message = f"{machine.hostname} was marked fixed" + (f": {why}" if why else "")
            await Events.record(db, "machine_marked_fixed", message, caller=caller, system_id=system_id)
            return await store.read(db, system_id)

    async def update(self, caller: Caller, system_id: str, change: MachineChange) -> MachineView:
        """Change what is given; repeating values that are there is no error. Its guest keeps the name that it has.

        Raises NotAllowed, NotFound, InvalidRequest by field, Busy while it is being made.
        """
        caller.require_admin()
        zone_id = await self._groups.asked_zone_id(change.zone)
        pool_id = await self._groups.asked_pool_id(change.pool)
        hostname = check_hostname(change.hostname) if change.hostname else None
        async with self._database.transaction() as db:
            (machine,) = await self._locked(db, [system_id])
            if hostname is not None and hostname != machine.hostname:
                check_settled(machine)
            await life_store.change(
                db, machine.id, hostname=hostname, zone_id=zone_id, pool_id=pool_id, description=change.description
            )
            return await store.read(db, system_id)

    async def _locked(self, db: Db, system_ids: Sequence[str]) -> tuple[MachineView, ...]:
        """Nobody else changes them until the transaction ends, which opens no operation on them. Raises NotFound."""
        await life_store.lock(db, system_ids)
        return await self._found(db, system_ids)

    async def _found(self, db: Db, system_ids: Sequence[str]) -> tuple[MachineView, ...]:
        """Raises NotFound that names those which are not there."""
        found = await store.list_machines(db, MachineFilter(system_ids=tuple(system_ids))) if system_ids else ()
        unknown = set(system_ids) - {machine.system_id for machine in found}
        if unknown:
            raise NotFound(f"Unknown machine(s): {', '.join(sorted(unknown))}.")
        return found

    async def _require_rack(self, system_id: str) -> None:
        async with self._database.connection() as db:
            machine = await store.read(db, system_id)
        if machine.host_id is not None and not _is_free(machine):
            await self._calls.require(machine.host_id)

    async def _open_release(self, db: Db, caller: Caller, machine: MachineView, comment: str) -> int:
        destroyed = machine.composed_by_allocate
        operation_id = await open_operation(
            db, OperationKind.DELETE if destroyed else OperationKind.RELEASE, machine, self._installation_id,
            account_id=caller.account_id, request={"was": machine.state.value, "comment": comment},
        )  # fmt: skip
        (now,) = await self._locked(db, [machine.system_id])
        if _kept(now) != _kept(machine):
            raise Busy(f"{machine.hostname} was changed in this very moment; ask again.")
        await life_store.happens(db, machine.id, Event.RELEASE)
        message = f"{machine.hostname} is given back" + (" and destroyed" if destroyed else "")
        await Events.record(
            db, "machine_released", message, caller=caller, host_id=machine.host_id, system_id=machine.system_id,
            operation_id=operation_id, details={"comment": comment} if comment else None,
        )  # fmt: skip
        return operation_id


class _FreeAlready(Exception):
    """There is nothing to give back."""


def _kept(machine: MachineView) -> tuple[MachineState, str | None, bool]:
    """What a release goes by."""
    return machine.state, machine.owner, machine.composed_by_allocate


def _may_release(caller: Caller, machine: MachineView) -> bool:
    """What is free is nobody's, so giving it back harms nobody."""
    return _is_owner(caller, machine) or _is_free(machine)


def _is_owner(caller: Caller, machine: MachineView) -> bool:
    return caller.is_admin or machine.owner == caller.username


def _check_owner(caller: Caller, machine: MachineView) -> None:
    if not _is_owner(caller, machine):
        raise _not_yours(machine)


def _not_yours(machine: MachineView) -> NotAllowed:
    return NotAllowed(f"{machine.hostname} is not yours.")


def _is_free(machine: MachineView) -> bool:
    return machine.owner is None and machine.state in _FREE


def _check_releasable(machines: Sequence[MachineView]) -> None:
    """Raises WrongState with every machine that cannot be given back now."""
    wrong = []
    for machine in machines:
        try:
            move(machine.state, Event.RELEASE)
        except WrongState as error:
            wrong.append(f"{machine.system_id} ({machine.hostname}): {error.message}")
    if wrong:
        raise WrongState("Machine(s) cannot be released in their current state: " + " ".join(wrong))
