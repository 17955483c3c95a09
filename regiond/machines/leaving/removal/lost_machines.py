"""Deletes the records of the machines of a host that is removed by force: it is dead and is not called.

The machines' names, addresses and claims become free. The machines get no tombstone, so that nothing removes their
guests if the host ever returns: these guests then have a marker of no machine, and can be adopted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from common.errors import Busy, HostUnreachable
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import guest_ownership
from regiond.ledger import store as ledger_store
from regiond.machines.core import store, view_store
from regiond.machines.detached import detached_disk_store, detached_store
from regiond.machines.remains.disk_fates import remaining_disks
from regiond.machines.removal_plans.host_removal_plan import affected_machine
from regiond.machines.values.model import MachineView
from regiond.operations import lease_store
from regiond.operations import store as operation_store
from regiond.operations.model import Operation
from regiond.racks.service import read_installation_id


async def lose_machines(db: Db, operation: Operation, host_id: int, expected: Iterable[str]) -> int:
    """Ends all other operations on the host, then deletes its machines' records, and returns the number of machines.

    An attempt that still runs has lost its lease and records nothing, whatever the rack answers later. The caller has
    locked the host. Raises Busy, after which the removal reads the machines again, if their system ids differ from
    `expected`.
    """
    await _end_operations(db, operation, host_id)
    machines = await view_store.of_host(db, host_id)
    if {machine.system_id for machine in machines} != {*expected}:
        raise Busy(f"The machines of {operation.host_name} changed while it was being removed.", host=host_id)
    await detached_store.detach(db, host_id, lost=True)
    await detached_disk_store.detach(db, host_id)
    shared = await guest_ownership.shares_server(db, host_id)
    installation_id = await read_installation_id(db)
    end_claims = guest_ownership.detach_guest if shared else ledger_store.release_machine
    for machine in machines:
        await end_claims(db, machine.id)
        await store.delete(db, machine.id)
        await _record_event(db, operation, host_id, machine, installation_id)
    return len(machines)


async def _end_operations(db: Db, removal: Operation, host_id: int) -> None:
    error = HostUnreachable(
        f"{removal.host_name} did not answer and was removed by force (operation {removal.id}).", host=host_id
    )
    left = f"{removal.host_name} was not reached; what this operation did there, if anything, remains"
    for ended in await operation_store.end_on_host(db, host_id, except_id=removal.id, error=error, undone=left):
        await lease_store.append_log(db, ended, 0, None, error.message, {"code": error.code})


async def _record_event(
    db: Db, operation: Operation, host_id: int, machine: MachineView, installation_id: UUID
) -> None:
    await Events.record(
        db, "machine_lost",
        f"{machine.hostname} is lost: its host {operation.host_name} did not answer and was removed by force",
        level=Level.WARNING, host_id=host_id, system_id=machine.system_id, operation_id=operation.id,
        account_id=operation.account_id, username=operation.username,
        details=_details_of(operation, machine, installation_id),
    )  # fmt: skip


def _details_of(operation: Operation, machine: MachineView, installation_id: UUID) -> Mapping[str, Any]:
    guest = affected_machine(operation.host_name or "", machine, remaining_disks(machine, installation_id))
    return {
        "machine": guest.as_it_stays.description,
        "owner": machine.owner,
        "mac_addresses": [nic.mac_address for nic in machine.nics],
        "addresses": [str(nic.ip_address) for nic in machine.nics if nic.ip_address is not None],
    }
