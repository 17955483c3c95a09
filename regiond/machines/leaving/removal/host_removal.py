"""Deletes or detaches the machines of a host that is being removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

from common.errors import Busy, NotFound, WrongState
from common.removal_facts import NO_REMOVAL_FACTS, RemovalFacts
from common.words.operation_kinds import OperationKind
from common.words.phrases import number_of
from regiond.db.pool import Database, Db
from regiond.hosts import guest_ownership
from regiond.hosts.image_copies import store as image_copy_store
from regiond.hosts.removal_model import DeletedMachines, HostRemoval
from regiond.hosts.views import guest_view_store
from regiond.hosts.views import view_store as host_view_store
from regiond.images import service as image_service
from regiond.ledger import store as ledger_store
from regiond.machines.core import store, view_store
from regiond.machines.core.operation_intents import check_no_disk_goes_along, open_operation
from regiond.machines.detached import detached_disk_store, detached_store
from regiond.machines.devices import store as device_store
from regiond.machines.leaving.removal.lost_machines import lose_machines
from regiond.machines.remains import kept_disk_store, removal_fact_store
from regiond.machines.remains.disk_fates import remaining_disks
from regiond.machines.remains.remaining_disk_store import read_remaining
from regiond.machines.removal_plans.host_removal_plan import HostRemovalPlan, affected_machine, removal_plan
from regiond.machines.values.lifecycle import MachineEvent
from regiond.machines.values.model import MachineView
from regiond.machines.values.removals import DeletionRequest
from regiond.operations import store as operation_store
from regiond.operations.model import Operation, OperationState, Parent
from regiond.racks.service import read_installation_id

MAX_DELETIONS = 10_000

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def host_removal_plan(
    db: Db, host_id: int, removal: HostRemoval, *, together_with: Collection[int] = (),
    installation_id: UUID | None = None,
) -> HostRemovalPlan:  # fmt: skip
    """Returns the plan of the removal, as it would be now. Raises NotFound.

    `together_with` are hosts that are removed at the same time, such as the other members of a cluster. With
    `installation_id`, raises WrongState if it would delete a machine whose own deletion is refused.
    """
    host = await host_view_store.read_host(db, host_id)
    guests = await guest_view_store.guests_of_host(db, host_id)
    foreign = [guest for guest in guests if guest.machine_id is None]
    names = {guest.machine_id: guest.name for guest in guests if guest.machine_id is not None}
    copies = [copy.description for copy in await image_copy_store.removable_with_host(db, host_id)]
    machines = await view_store.of_host(db, host_id)
    facts = await removal_fact_store.facts_of(db, [machine.id for machine in machines])
    if installation_id is not None:
        _check_deletable(machines, removal, installation_id, facts)
    images = await image_service.images_removed_with(db, host_id, together_with)
    devices = await device_store.hostnames_of(db, [machine.id for machine in machines])
    remaining = await read_remaining(db, machines, await read_installation_id(db))
    kept_disks = await kept_disk_store.list_kept(db, host_id=host_id)
    return removal_plan(host.name, removal, machines, foreign, names, remaining, copies, images, devices, kept_disks)


class MachinesOfRemovedHost:
    """Implements `HostMachines` of `regiond.hosts.steps`."""

    def __init__(self, database: Database, *, installation_id: UUID) -> None:
        self._database = database
        self._installation_id = installation_id

    async def delete_machines(self, operation: Operation) -> Sequence[str]:
        if operation.host_id is None:
            return ()
        async with self._database.connection() as db:
            machines = await view_store.of_host(db, operation.host_id)
            facts = await removal_fact_store.facts_of(db, [machine.id for machine in machines])
            children = await operation_store.list_operations(db, parent_id=operation.id, limit=MAX_DELETIONS)
        deletions = {child.machine_id: child for child in children if child.machine_id is not None}
        removal = operation.request_as(HostRemoval)
        new = [one for one in machines if removal.deletes(adopted=one.adopted) and one.id not in deletions]
        _check_unlocked(operation.host_name or "", new)
        # Before the first deletion, as for locks: all or none.
        _check_deletable(new, removal, self._installation_id, facts)
        failures: list[str] = []
        pending = 0
        for machine in machines:
            if not removal.deletes(adopted=machine.adopted):
                continue
            deletion = deletions.get(machine.id)
            if deletion is None or not deletion.state.ended:
                pending += 1
                if deletion is None:
                    await self._open_deletion(operation, machine)
            elif deletion.state is not OperationState.SUCCEEDED:
                failures.append(f"{machine.hostname}: {deletion.error_message}")
        if pending:
            still = f"{number_of(pending, 'machine')} on {operation.host_name} {'is' if pending == 1 else 'are'}"
            raise Busy(f"{still} still being deleted.", machines=pending)
        return failures

    async def removal_result(self, operation: Operation) -> Mapping[str, Any]:
        """Returns the result. Call it before the host's row is deleted. Deletions describe the deleted machines."""
        if operation.host_id is None:
            return {}
        if operation.request_as(HostRemoval).force:
            return await self._loss(operation, operation.host_id)
        async with self._database.connection() as db:
            children = await operation_store.list_operations(db, parent_id=operation.id, limit=MAX_DELETIONS)
            remaining = await host_removal_plan(db, operation.host_id, HostRemoval())
        ended = [child for child in children if child.state is OperationState.SUCCEEDED]
        deleted = [child.request_as(DeletionRequest).description for child in ended]
        kept = [guest.description for guest in remaining.kept]
        return {"deleted": deleted, "kept": kept, "kept_disks": list(remaining.kept_disks)}

    async def stop_deletions(self, operation: Operation) -> DeletedMachines:
        async with self._database.transaction() as db:
            await operation_store.cancel_children(db, operation.id)
            children = await operation_store.list_operations(db, parent_id=operation.id, limit=MAX_DELETIONS)
        names: dict[str, list[str]] = defaultdict(list)
        for child in children:
            names[_end_of(child)].append(child.hostname or child.system_id or f"operation {child.id}")
        if "open" in names:
            still = sorted(names["open"])
            raise Busy(f"On {operation.host_name} these machines are still being deleted: {', '.join(still)}.")
        return DeletedMachines(**{end: tuple(sorted(found)) for end, found in names.items()})

    async def detach_machines(self, db: Db, host_id: int) -> int:
        """Detaches the machines and returns their number.

        If another host is on the same server, the rows of the guests take over the claims: they still use the server.
        """
        machines = await view_store.of_host(db, host_id)
        await detached_store.detach(db, host_id)
        await detached_disk_store.detach(db, host_id)
        shared = await guest_ownership.shares_server(db, host_id)
        end_claims = guest_ownership.detach_guest if shared else ledger_store.release_machine
        for machine in machines:
            active = await operation_store.active(db, OperationKind.POWER, machine_id=machine.id)
            if active is not None:
                raise Busy(f"Operation {active.id} still acts on {machine.hostname}.", operation=active.id)
            await end_claims(db, machine.id)
            await store.delete(db, machine.id)
        return len(machines)

    async def lose_machines(self, db: Db, operation: Operation, host_id: int, expected: Iterable[str]) -> int:
        return await lose_machines(db, operation, host_id, expected)

    async def _loss(self, operation: Operation, host_id: int) -> Mapping[str, Any]:
        async with self._database.connection() as db:
            plan = await host_removal_plan(db, host_id, HostRemoval(force=True))
        return {
            "deleted": [],
            "kept": [guest.description for guest in plan.kept],
            "lost": [guest.description for guest in plan.lost],
            "lost_machines": [guest.system_id for guest in plan.lost],
            "kept_disks": list(plan.kept_disks),
        }

    async def _open_deletion(self, parent: Operation, machine: MachineView) -> None:
        """Opens the deletion. Skips a machine that another operation acts on: the parent's next attempt retries."""
        guest = affected_machine(parent.host_name or "", machine, remaining_disks(machine, self._installation_id))
        try:
            async with self._database.transaction() as db:
                await open_operation(
                    db, OperationKind.DELETE, machine, self._installation_id, account_id=parent.account_id,
                    begins=MachineEvent.DELETE, parent=Parent(id=parent.id, attempt=parent.attempt),
                    request=DeletionRequest(description=guest.description),
                )  # fmt: skip
        except (Busy, NotFound) as error:
            log.info("machine_deletion_postponed", system_id=machine.system_id, reason=error.message)


def _check_unlocked(host_name: str, machines: Iterable[MachineView]) -> None:
    """Raises WrongState, which ends the removal, if a machine to delete is locked."""
    locked = [f"{machine.hostname} ({machine.system_id})" for machine in machines if machine.locked]
    if locked:
        raise WrongState(
            f"Machines on {host_name} are locked against deletion: {', '.join(locked)}. "
            "Unlock them with innkeeper machine unlock SYSTEM_ID, or remove the host without decompose.",
            locked=locked,
        )


def _check_deletable(
    machines: Iterable[MachineView], removal: HostRemoval, installation_id: UUID, facts: Mapping[int, RemovalFacts]
) -> None:
    """Raises WrongState for a machine that the removal would delete and whose own deletion is refused."""
    for machine in machines:
        if removal.deletes(adopted=machine.adopted):
            removal_fact_store.check_not_protected(machine, facts.get(machine.id, NO_REMOVAL_FACTS))
            check_no_disk_goes_along(machine, installation_id)


def _end_of(deletion: Operation) -> str:
    """Returns the field of DeletedMachines for this deletion, or "open"."""
    if not deletion.state.ended:
        return "open"
    if deletion.state is OperationState.SUCCEEDED:
        return "deleted"
    return "uncertain" if deletion.state is OperationState.CANCELLED and deletion.reached_host else "kept"
