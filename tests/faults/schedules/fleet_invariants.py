"""Checks maintenance, locks, removals by force and addresses of hosts on a snapshot. Pure but for the SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.schedules.invariants import Snapshot

FLEET_FAULTS = """
    select format('claim %s is on server %s, which has no host', c.id, c.server_id) from claim c
     where not exists (select from vm_host h where h.server_id = c.server_id)
    union all
    select format('address %s belongs to a machine without a host', host(a.address)) from ip_address a
     where not exists (select from machine m join vm_host h on h.id = m.host_id where m.id = a.machine_id)
    union all
    select format('operation %s (%s) is open on %s, which was removed by force', o.id, o.kind, o.host_name)
      from operation r join operation o on o.host_name = r.host_name and o.created_at < r.finished_at
     where r.kind = 'remove_host' and r.state = 'succeeded' and (r.request ->> 'force')::boolean and o.is_open
    union all
    select format('%s is lost, and no event names it', d.hostname) from detached_machine d
     where d.lost and not exists (
        select from event e
         where e.kind = 'machine_lost' and e.system_id = d.system_id and e.message like d.hostname || ' %')
    union all
    select format('%s is lost, and the removal of %s does not list it', d.hostname, d.host_name) from detached_machine d
     where d.lost and not exists (
        select from operation r where r.kind = 'remove_host' and r.state = 'succeeded' and r.host_name = d.host_name
                                  and r.result -> 'lost_machines' ? d.system_id)
    union all
    select format('%s is at %s, which is not its server', name, address) from vm_host
     where driver = 'simulated' and split_part(split_part(address, ':', 2), '?', 1) <> name
"""


def fleet_after_step(before: Snapshot, now: Snapshot) -> Iterator[str]:
    """Yields violations after a step."""
    yield from _new_in_maintenance(before, now)
    yield from _deleted_although_locked(before, now)


def _new_in_maintenance(before: Snapshot, now: Snapshot) -> Iterator[str]:
    """No machine comes to a host while it is in maintenance, except a guest that is there and is adopted."""
    for row in now.machines.values():
        was = before.machines.get(row.uuid)
        stayed = before.maintenance.get(row.host) is not None and before.maintenance[row.host] == now.maintenance.get(
            row.host
        )
        if stayed and not row.adopted and (was is None or was.host != row.host) and row.uuid not in before.detached:
            yield f"{row.hostname} came to {row.host}, which is in maintenance"


def _deleted_although_locked(before: Snapshot, now: Snapshot) -> Iterator[str]:
    """A deletion or release that had begun continues."""
    for row in before.machines.values():
        gone = row.uuid not in now.machines and row.uuid not in now.detached | now.forgotten | now.adopting
        if row.locked and gone and not row.busy and row.state in ("ready", "allocated", "deployed"):
            yield f"{row.hostname} was locked, and was deleted"
