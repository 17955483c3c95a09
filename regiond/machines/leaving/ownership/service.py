"""Stores owner data, commissions machines, marks them broken or fixed, locks them, updates fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from common.errors import Busy, NotFound, WrongState
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.affinity.service import affinity_change
from regiond.machines.core.operation_intents import check_settled
from regiond.machines.core.ownership_rules import check_may_change, check_owner, check_owner_data, is_freed_by_fixing
from regiond.machines.hardware.autostart import open_set_autostart
from regiond.machines.leaving.ownership.commissioning import begin_commission
from regiond.machines.leaving.ownership.ending import end_ownership, take_back_links
from regiond.machines.leaving.ownership.zone_change import choose_zone, move_to_zone
from regiond.machines.values.lifecycle import MachineEvent, fixed_event
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import MachineChange
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation
from regiond.operations.service import Operations
from regiond.quotas import service as quotas
from regiond.requests.caller import Caller
from regiond.requests.identifiers import check_hostname

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Ownership:
    def __init__(self, database: Database, operations: Operations, groups: Groups, *, installation_id: UUID) -> None:
        self._database = database
        self._operations = operations
        self._groups = groups
        self._installation_id = installation_id

    async def set_owner_data(self, caller: Caller, system_id: str, data: Mapping[str, str]) -> MachineView:
        """Sets the keys in `data`; an empty value removes its key. Raises NotFound, NotAllowed.

        Raises InvalidRequest, with nothing changed, if the machine would have too many keys or too much data: every
        listing of machines contains them.
        """
        values = {key: value for key, value in data.items() if value}
        async with self._database.transaction() as db:
            machine = await self._locked(db, system_id)
            check_may_change(caller, machine)
            await lifecycle_store.set_owner_data(db, machine.id, values=values, removed=data.keys() - values.keys())
            changed = await view_store.read(db, system_id)
            check_owner_data(changed.owner_data or {})
            return changed

    async def set_workload_annotations(
        self, caller: Caller, system_id: str, annotations: Mapping[str, str]
    ) -> MachineView:
        """Sets annotations as `set_owner_data` sets data. A key removed here is also removed from the owner data.

        Both are shown as annotations.
        """
        values = {key: value for key, value in annotations.items() if value}
        removed = annotations.keys() - values.keys()
        async with self._database.transaction() as db:
            machine = await self._locked(db, system_id)
            check_may_change(caller, machine)
            await lifecycle_store.set_workload_annotations(db, machine.id, values=values, removed=removed)
            await lifecycle_store.set_owner_data(db, machine.id, values={}, removed=removed)
            changed = await view_store.read(db, system_id)
            check_owner_data(changed.workload_annotations or {}, what="workload annotations")
            return changed

    async def start_commission(
        self, caller: Caller, system_id: str, *, comment: str = "", idempotency_key: IdempotencyKey | None = None
    ) -> Operation:
        """Begins a refresh of the machine's host, after which it is Ready if its guest exists.

        Raises NotFound, NotAllowed, WrongState.
        """

        async def open_(db: Db) -> int:
            machine = await view_store.read(db, system_id)
            check_owner(caller, machine)
            operation_id = await begin_commission(db, caller, machine, comment)
            await idempotency_service.tie_key(db, idempotency_key, operation_id)
            return operation_id

        return await self._operations.idempotent(idempotency_key, lambda: self._database.in_transaction(open_))

    async def mark_broken(self, caller: Caller, system_id: str, reason: str) -> MachineView:
        """Excludes the machine from allocation until it is marked fixed; owner and guest do not change.

        Raises NotFound, NotAllowed, WrongState.
        """
        async with self._database.transaction() as db:
            machine = await self._locked(db, system_id)
            check_may_change(caller, machine)
            await lifecycle_store.apply_event(db, machine.id, MachineEvent.MARK_BROKEN)
            await lifecycle_store.set_error_description(db, machine.id, reason)
            message = f"{machine.hostname} was marked broken" + (f": {reason}" if reason else "")
            await Events.record(db, "machine_marked_broken", message, caller=caller, system_id=system_id)
            return await view_store.read(db, system_id)

    async def mark_fixed(self, caller: Caller, system_id: str, reason: str = "") -> MachineView:
        """Returns the machine, which becomes ready, without owner, or new if the last refresh did not list its guest.

        It becomes allocated if its use continues (see `is_freed_by_fixing`). Raises as `mark_broken`.
        """

        async def fix(db: Db) -> MachineView:
            machine = await self._locked(db, system_id)
            check_may_change(caller, machine)
            freed = is_freed_by_fixing(machine, at_rest=await lifecycle_store.is_at_rest(db, machine.id))
            owned = (machine.owner is not None and not freed) or machine.as_found
            event = fixed_event(owned=owned, listed=machine.guest_id is not None)
            await lifecycle_store.apply_event(db, machine.id, event)
            if freed:
                await take_back_links(db, caller, machine)
                await end_ownership(db, machine.id, emptied=False)
            await lifecycle_store.set_error_description(db, machine.id, "")
            message = f"{machine.hostname} was marked fixed" + (f": {reason}" if reason else "")
            await Events.record(db, "machine_marked_fixed", message, caller=caller, system_id=system_id)
            return await view_store.read(db, system_id)

        return await self._database.in_transaction(fix)

    async def set_locked(self, caller: Caller, system_id: str, *, locked: bool, comment: str = "") -> MachineView:
        """Protects the machine from allocation, deployment, deletion, release and changes, or ends the protection.

        Works in every state. Operations that have begun continue. Raises NotFound, NotAllowed, and WrongState if the
        machine is already so.
        """
        async with self._database.transaction() as db:
            machine = await self._locked(db, system_id)
            check_owner(caller, machine)
            if machine.locked == locked:
                raise WrongState(f"{machine.hostname} is {'already' if locked else 'not'} locked.", locked=locked)
            await lifecycle_store.set_locked(db, machine.id, locked=locked)
            kind = "machine_locked" if locked else "machine_unlocked"
            done = "locked against deletion, release and changes" if locked else "unlocked"
            message = f"{machine.hostname} was {done}" + (f": {comment}" if comment else "")
            await Events.record(db, kind, message, caller=caller, system_id=system_id)
            return await view_store.read(db, system_id)

    async def set_zone(self, caller: Caller, system_ids: Sequence[str], zone: str, devices: Sequence[str] = ()) -> None:
        """Moves the machines and devices to the zone (id or name), all or none. Idempotent.

        Raises NotFound, NotAllowed, also for a locked machine, and InvalidRequest for the field `zone`.
        """
        caller.require_admin()
        zone_id = await self._groups.requested_zone_id(zone)
        if zone_id is not None:
            async with self._database.transaction() as db:
                await move_to_zone(db, caller, system_ids, devices, zone_id)

    async def update(self, caller: Caller, system_id: str, change: MachineChange) -> MachineView:
        """Changes the given fields; the guest's own name does not change. Its owner may change the description only.
        Idempotent.

        Raises NotAllowed, NotFound, InvalidRequest by field, QuotaExceeded for a new resource pool, and Busy for a new
        hostname or group while it is being composed or adopted.
        """
        if change != MachineChange(description=change.description):
            caller.require_admin()
        zone_id = await self._groups.requested_zone_id(change.zone)
        pool_id = await self._groups.requested_pool_id(change.pool)
        hostname = check_hostname(change.hostname) if change.hostname else None
        groups = affinity_change(change)
        async with self._database.transaction() as db:
            if pool_id is not None:
                await _charge_pool(db, await view_store.read(db, system_id), pool_id)
            await groups.lock(db)
            machine = await self._locked(db, system_id)
            check_may_change(caller, machine)
            if (hostname is not None and hostname != machine.hostname) or groups.changes:
                check_settled(machine)
            await groups.apply(db, machine)
            if zone_id is not None:
                await choose_zone(db, [system_id], zone_id)
            await lifecycle_store.update(
                db, machine.id, hostname=hostname, pool_id=pool_id, description=change.description,
                autostart=change.autostart,
            )  # fmt: skip
            changed = await view_store.read(db, system_id)
        if changed.autostart_in_effect is not machine.autostart_in_effect:
            await self._set_on_host(caller, changed)
        return changed

    async def _set_on_host(self, caller: Caller, machine: MachineView) -> None:
        """Begins to set the autostart of the machine's guest.

        An operation that acts on the machine now comes first; the reconciler finds a setting that remains to be made.
        """
        try:
            async with self._database.transaction() as db:
                await open_set_autostart(db, machine, self._installation_id, account_id=caller.account_id)
        except (Busy, WrongState, NotFound) as error:
            log.info("autostart_postponed", system_id=machine.system_id, reason=error.message)

    async def _locked(self, db: Db, system_id: str) -> MachineView:
        """Returns the machine, locked; the transaction must not open operations on it afterwards. Raises NotFound."""
        await lifecycle_store.lock(db, [system_id])
        return await view_store.read(db, system_id)


async def _charge_pool(db: Db, machine: MachineView, pool_id: int) -> None:
    """Raises QuotaExceeded if the machine does not fit into the quota of the resource pool to which it moves."""
    if pool_id != machine.pool.id:
        await quotas.charge_machine(db, machine.id, pool_id=pool_id)
