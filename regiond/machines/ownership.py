"""Releases machines, stores owner data, marks broken or fixed, updates fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import asdict

from common.errors import Busy, InvalidRequest, NotAllowed, NotFound
from regiond.caller import Caller
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.identifiers import check_hostname
from regiond.machines import lifecycle_store, view_store
from regiond.machines.affected_guests import affected_guest
from regiond.machines.affinity_change import affinity_change
from regiond.machines.commissioning import begin_commission
from regiond.machines.lifecycle import MachineEvent, fixed_event
from regiond.machines.machine_removal_plan import MachineRemovalPlan, Release, release_plan
from regiond.machines.model import (
    DEFAULT_RELEASE,
    MachineChange,
    MachineFilter,
    MachineState,
    MachineView,
    ReleaseOptions,
)
from regiond.machines.operation_intents import check_settled, open_operation
from regiond.machines.ownership_rules import (
    check_erasable,
    check_owner,
    check_owner_data,
    check_releasable,
    is_free,
    may_release,
    not_owner,
    release_facts,
    release_work,
)
from regiond.operations import service as operation_service
from regiond.operations.model import Operation, OperationKind, Parent, request_hash
from regiond.operations.service import Operations
from regiond.quotas import service as quotas
from regiond.quotas.model import Charge
from regiond.racks.service import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db


StopDeployment = Callable[[str], Awaitable[None]]  # of the machine with this system id; see `Deployments.stop`


class Ownership:
    def __init__(
        self,
        database: Database,
        operations: Operations,
        groups: Groups,
        calls: HostCalls,
        *,
        stop_deployment: StopDeployment,
        installation_id: UUID,
    ) -> None:
        self._database = database
        self._operations = operations
        self._groups = groups
        self._calls = calls
        self._stop_deployment = stop_deployment
        self._installation_id = installation_id

    async def start_release(
        self,
        caller: Caller,
        system_id: str,
        *,
        comment: str = "",
        options: ReleaseOptions = DEFAULT_RELEASE,
        requested: str | None = None,
        idempotency_key: str | None = None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation | None:
        """Returns the operation that releases the machine, also if it is already running; None if it has no owner.

        Destroys a machine that allocation composed. Raises NotFound, NotAllowed, WrongState, Busy, IdempotencyMismatch,
        InvalidRequest for disks that cannot be erased, and RackUnreachable with `need_rack`. `requested` is the
        hostname, if the request named the machine so.
        """
        request = {
            "kind": OperationKind.RELEASE.value, "system_id": requested or system_id,
            **{name: value for name, value in asdict(options).items() if value},
        }  # fmt: skip

        async def open_() -> int:
            if need_rack:
                await self._require_rack(system_id)
            async with self._database.transaction() as db:
                (machine,) = await self._read_all(db, [system_id])
                if not may_release(caller, machine):
                    raise not_owner(machine)
                if machine.state is MachineState.RELEASING:
                    active = await operation_service.active(db, OperationKind.RELEASE, machine_id=machine.id)
                    if active is not None:
                        return active.id
                if is_free(machine):
                    raise _AlreadyFree
                operation_id = await self._open_release(db, caller, machine, comment, options, parent)
                if idempotency_key is not None:
                    key_hash = request_hash(request)
                    await operation_service.store_key(db, caller.account_id, idempotency_key, key_hash, operation_id)
                return operation_id

        await self._stop_deploying(caller, system_id)
        try:
            return await self._operations.idempotent(caller, idempotency_key, request, open_)
        except _AlreadyFree:
            return None

    async def release_plan(
        self, caller: Caller, system_id: str, *, options: ReleaseOptions = DEFAULT_RELEASE, need_rack: bool = False
    ) -> MachineRemovalPlan:
        """A dry run of `start_release`; raises what it raises."""
        if need_rack:
            await self._require_rack(system_id)
        async with self._database.transaction(dry_run=True) as db:
            (machine,) = await self._read_all(db, [system_id])
            if not may_release(caller, machine):
                raise not_owner(machine)
            plan = release_plan([await _release(db, machine)], erase=options.erase)
            if not is_free(machine) and machine.state is not MachineState.RELEASING:
                await self._open_release(db, caller, machine, "", options)
        return plan

    async def release_all_plan(
        self, caller: Caller, system_ids: Sequence[str], *, options: ReleaseOptions = DEFAULT_RELEASE
    ) -> MachineRemovalPlan:
        """A dry run of `start_release_all`; raises what it raises."""
        async with self._database.transaction(dry_run=True) as db:
            machines = await self._to_release(db, caller, system_ids)
            plan = release_plan([await _release(db, machine) for machine in machines], erase=options.erase)
            await self._open_releases(db, caller, machines, "", options)
        return plan

    async def start_release_all(
        self,
        caller: Caller,
        system_ids: Sequence[str],
        *,
        comment: str = "",
        options: ReleaseOptions = DEFAULT_RELEASE,
    ) -> tuple[str, ...]:
        """Releases all of the machines or none; returns the system ids of those that had an owner.

        Raises InvalidRequest for unknown machines and disks that cannot be erased; NotAllowed and WrongState name every
        machine they apply to.
        """
        async with self._database.transaction() as db:
            machines = await self._to_release(db, caller, system_ids)
        for machine in machines:
            await self._stop_deploying(caller, machine.system_id)
        async with self._database.transaction() as db:
            machines = await self._to_release(db, caller, system_ids)
            return await self._open_releases(db, caller, machines, comment, options)

    async def set_owner_data(self, caller: Caller, system_id: str, data: Mapping[str, str]) -> MachineView:
        """Sets the keys in `data`; an empty value removes its key. Raises NotFound, NotAllowed.

        Raises InvalidRequest, with nothing changed, if the machine would have too many keys or too much data: every
        listing of machines contains them.
        """
        values = {key: value for key, value in data.items() if value}
        async with self._database.transaction() as db:
            (machine,) = await self._locked(db, [system_id])
            check_owner(caller, machine)
            await lifecycle_store.set_owner_data(db, machine.id, values=values, removed=data.keys() - values.keys())
            changed = await view_store.read(db, system_id)
            check_owner_data(changed.owner_data or {})
            return changed

    async def set_workload_annotations(
        self, caller: Caller, system_id: str, annotations: Mapping[str, str]
    ) -> MachineView:
        """As `set_owner_data`, which does not change by this."""
        values = {key: value for key, value in annotations.items() if value}
        removed = annotations.keys() - values.keys()
        async with self._database.transaction() as db:
            (machine,) = await self._locked(db, [system_id])
            check_owner(caller, machine)
            await lifecycle_store.set_workload_annotations(db, machine.id, values=values, removed=removed)
            changed = await view_store.read(db, system_id)
            check_owner_data(changed.workload_annotations or {}, what="workload annotations")
            return changed

    async def start_commission(self, caller: Caller, system_id: str, *, comment: str = "") -> Operation:
        """Begins a refresh of the machine's host, after which it is Ready if its guest exists.

        Raises NotFound, NotAllowed, WrongState.
        """
        async with self._database.transaction() as db:
            machine = await view_store.read(db, system_id)
            check_owner(caller, machine)
            operation_id = await begin_commission(db, caller, machine, comment)
        return await self._operations.read(operation_id)

    async def mark_broken(self, caller: Caller, system_id: str, reason: str) -> MachineView:
        """Excludes the machine from allocation until it is marked fixed; owner and guest do not change.

        Raises NotFound, NotAllowed, WrongState.
        """
        async with self._database.transaction() as db:
            (machine,) = await self._locked(db, [system_id])
            check_owner(caller, machine)
            await lifecycle_store.apply_event(db, machine.id, MachineEvent.MARK_BROKEN)
            await lifecycle_store.set_error_description(db, machine.id, reason)
            message = f"{machine.hostname} was marked broken" + (f": {reason}" if reason else "")
            await Events.record(db, "machine_marked_broken", message, caller=caller, system_id=system_id)
            return await view_store.read(db, system_id)

    async def mark_fixed(self, caller: Caller, system_id: str, reason: str = "") -> MachineView:
        """The state becomes ready or allocated, or new if the last refresh did not list its guest.

        Raises what `mark_broken` raises.
        """
        async with self._database.transaction() as db:
            (machine,) = await self._locked(db, [system_id])
            check_owner(caller, machine)
            event = fixed_event(owned=machine.owner is not None, listed=machine.guest_id is not None)
            await lifecycle_store.apply_event(db, machine.id, event)
            await lifecycle_store.set_error_description(db, machine.id, "")
            message = f"{machine.hostname} was marked fixed" + (f": {reason}" if reason else "")
            await Events.record(db, "machine_marked_fixed", message, caller=caller, system_id=system_id)
            return await view_store.read(db, system_id)

    async def set_locked(self, caller: Caller, system_id: str, *, locked: bool, comment: str = "") -> MachineView:
        """Protects the machine from deletion and release, or ends the protection. Idempotent.

        A deletion or release that has begun continues. Raises NotFound, NotAllowed.
        """
        async with self._database.transaction() as db:
            (machine,) = await self._locked(db, [system_id])
            check_owner(caller, machine)
            if machine.locked != locked:
                await lifecycle_store.set_locked(db, machine.id, locked=locked)
                kind = "machine_locked" if locked else "machine_unlocked"
                done = "locked against deletion and release" if locked else "unlocked"
                message = f"{machine.hostname} was {done}" + (f": {comment}" if comment else "")
                await Events.record(db, kind, message, caller=caller, system_id=system_id)
            return await view_store.read(db, system_id)

    async def update(self, caller: Caller, system_id: str, change: MachineChange) -> MachineView:
        """Changes the given fields; the guest's own name does not change. Idempotent.

        Raises NotAllowed, NotFound, InvalidRequest by field, QuotaExceeded for a new resource pool, and Busy for a new
        hostname or group while it is being composed or adopted.
        """
        caller.require_admin()
        zone_id = await self._groups.requested_zone_id(change.zone)
        pool_id = await self._groups.requested_pool_id(change.pool)
        hostname = check_hostname(change.hostname) if change.hostname else None
        groups = affinity_change(change)
        async with self._database.transaction() as db:
            if pool_id is not None:
                await _charge_pool(db, await view_store.read(db, system_id), pool_id)
            await groups.lock(db)
            (machine,) = await self._locked(db, [system_id])
            if (hostname is not None and hostname != machine.hostname) or groups.changes:
                check_settled(machine)
            await groups.apply(db, machine)
            await lifecycle_store.update(
                db, machine.id, hostname=hostname, zone_id=zone_id, pool_id=pool_id, description=change.description
            )
            return await view_store.read(db, system_id)

    async def _locked(self, db: Db, system_ids: Sequence[str]) -> tuple[MachineView, ...]:
        """Locks the machines; the transaction must not open operations on them afterwards. Raises NotFound."""
        await lifecycle_store.lock(db, system_ids)
        return await self._read_all(db, system_ids)

    async def _read_all(self, db: Db, system_ids: Sequence[str]) -> tuple[MachineView, ...]:
        """Raises NotFound that names the unknown machines."""
        found = await view_store.list_machines(db, MachineFilter(system_ids=tuple(system_ids))) if system_ids else ()
        unknown = set(system_ids) - {machine.system_id for machine in found}
        if unknown:
            raise NotFound(f"Unknown machine(s): {', '.join(sorted(unknown))}.")
        return found

    async def _to_release(self, db: Db, caller: Caller, system_ids: Sequence[str]) -> tuple[MachineView, ...]:
        """Raises InvalidRequest for unknown machines, NotAllowed for those of others."""
        try:
            machines = await self._read_all(db, list(dict.fromkeys(system_ids)))
        except NotFound as error:
            raise InvalidRequest(error.message) from error
        not_owned = [machine.system_id for machine in machines if not may_release(caller, machine)]
        if not_owned:
            raise NotAllowed(f"You don't have the required permission to release: {', '.join(not_owned)}.")
        return machines

    async def _open_releases(
        self, db: Db, caller: Caller, machines: Sequence[MachineView], comment: str, options: ReleaseOptions
    ) -> tuple[str, ...]:
        """Returns the system ids of those that have an owner. Raises WrongState that names those that cannot."""
        owned = [machine for machine in machines if not is_free(machine)]
        check_releasable(owned)
        for machine in sorted(owned, key=lambda machine: machine.id):  # avoids deadlocks
            await self._open_release(db, caller, machine, comment, options)
        return tuple(machine.system_id for machine in owned)

    async def _stop_deploying(self, caller: Caller, system_id: str) -> None:
        """Stops a deployment of the machine, if it exists and the caller may release it. Raises Busy."""
        async with self._database.connection() as db:
            found = await view_store.list_machines(db, MachineFilter(system_ids=(system_id,)))
        if any(one.state is MachineState.DEPLOYING and may_release(caller, one) for one in found):
            await self._stop_deployment(system_id)

    async def _require_rack(self, system_id: str) -> None:
        async with self._database.connection() as db:
            machine = await view_store.read(db, system_id)
        if machine.host_id is not None and not is_free(machine):
            await self._calls.require(machine.host_id)

    async def _open_release(
        self,
        db: Db,
        caller: Caller,
        machine: MachineView,
        comment: str,
        options: ReleaseOptions,
        parent: Parent | None = None,
    ) -> int:
        check_erasable(machine, options)
        destroys = machine.composed_by_allocate
        operation_id = await open_operation(
            db, OperationKind.DELETE if destroys else OperationKind.RELEASE, machine, self._installation_id,
            account_id=caller.account_id, parent=parent,
            request={"comment": comment, **release_work(machine, options)},
        )  # fmt: skip
        (now,) = await self._locked(db, [machine.system_id])
        if release_facts(now) != release_facts(machine):
            raise Busy(f"{machine.hostname} changed while it was being released; try again.")
        await lifecycle_store.apply_event(db, machine.id, MachineEvent.RELEASE)
        message = f"{machine.hostname} is being released" + (" and destroyed" if destroys else "")
        message += ", and its disks are erased" if options.erase and not destroys else ""
        await Events.record(
            db, "machine_released", message, caller=caller, host_id=machine.host_id, system_id=machine.system_id,
            operation_id=operation_id, details={"comment": comment} if comment else None,
        )  # fmt: skip
        return operation_id


async def _charge_pool(db: Db, machine: MachineView, pool_id: int) -> None:
    """Raises QuotaExceeded if the machine does not fit into the quota of the resource pool to which it moves."""
    if pool_id != machine.pool.id:
        asked = await quotas.holdings_of(db, machine.id)
        await quotas.charge(db, Charge(pool_id=pool_id, asked=asked))


async def _release(db: Db, machine: MachineView) -> Release:
    return Release(
        guest=await affected_guest(db, machine),
        owner=machine.owner,
        is_free=is_free(machine),
        destroyed=machine.composed_by_allocate,
    )


class _AlreadyFree(Exception):
    """The machine has no owner."""
