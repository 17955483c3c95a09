"""SQL that changes machines, and their tombstones."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from attrs import frozen

from common.values import PowerState
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db, of_row
from regiond.machines.core.lifecycle_store import ASKED_POWER, ended_stock
from regiond.machines.values.power import EndedStock, GuestPowerChange, PowerRequest
from regiond.operations.model import Operation

_POWER = "update machine set power_state = $2, settled_at = clock_timestamp() where id = $1"
_ASKED_POWER = f"update machine {ASKED_POWER} where id = $1"  # our own text
_ANNOUNCE = "update machine set announced = true where id = $1 returning true"
_GUEST_OF = "select guest_key, name from guest where machine_id = $1"
_DELETE_GUEST = "delete from guest where machine_id = $1"
_DELETE = "delete from machine where id = $1"
# Hypervisor events can arrive after the operation that caused them. Within 10 seconds of its end they are ignored, and
# the refresh that each event requests records the actual state. Events arrive in order, so an event that immediately
# follows another event counts.
_GUEST_POWER = """
    with before as (
        select m.id, m.power_state, m.is_stock and m.unproven_since is null as proven_stock, m.is_stock,
               h.name as host_name
          from machine m join vm_host h on h.id = m.host_id
         where h.id = $1 and (m.uuid::text = $2 or m.hostname = $3)
           and not exists (select from operation o
                            where o.system_id = m.system_id
                              and (o.is_open or o.finished_at > clock_timestamp() - interval '10 seconds'))
           for no key update of m
    )
    update machine m set power_state = $4, settled_at = clock_timestamp(),
                         generation = generation + (before.proven_stock and $4 = 'on')::integer
      from before where m.id = before.id and before.power_state <> $4
    returning m.system_id, m.hostname, m.host_id, before.host_name, before.power_state as power_before,
              before.is_stock and not m.is_stock and m.owner_id is null and m.state = 'ready' as was_stock,
              (select username from account where id = m.composed_by_id) as made_by, null as used_by
"""
# Updates the guest's own row, which a discovery run would otherwise change a moment later; also without a machine.
_LISTED_GUEST_POWER = """
    update guest g set power_state = $4
      from vm_host h
     where h.id = $1 and g.server_id = h.server_id and g.project = h.project
       and case when $2 <> '' then g.guest_key = $2 else g.name = $3 end and g.power_state <> $4
       and not exists (select from machine m join operation o on o.system_id = m.system_id
                        where m.id = g.machine_id
                          and (o.is_open or o.finished_at > clock_timestamp() - interval '10 seconds'))
"""
# A volume that another guest also uses is omitted: removing it would affect that guest. A machine that has a guest was
# composed, whatever the caller knows.
_RECORD_TOMBSTONE = """
    insert into tombstone as t (machine_uuid, hostname, host_name, reason, was_composed, guest_key, volumes)
    select $1, $2, $3, $4, $7 or own.guest_key is not null, own.guest_key,
           coalesce(jsonb_agg(jsonb_build_object('server_id', h.server_id, 'pool', v.pool, 'name', v.name)
                              order by v.pool, v.name) filter (where h.server_id is not null), '[]')
      from (select max(g.guest_key) as guest_key
              from guest g join machine m on m.id = g.machine_id where m.uuid = $1) own
      left join jsonb_to_recordset($6::jsonb) v (pool text, name text) on true
      left join vm_host h on h.id = $5
           and not exists (select from guest g
                            where g.server_id = h.server_id and g.marker_machine is distinct from $1
                              and g.disks @> jsonb_build_array(jsonb_build_object('pool_id', v.pool, 'volume', v.name)))
     group by own.guest_key
    on conflict (machine_uuid) do update
       set reason = excluded.reason, recorded_at = clock_timestamp(), volumes = t.volumes || excluded.volumes,
           was_composed = t.was_composed or excluded.was_composed,
           guest_key = coalesce(excluded.guest_key, t.guest_key)
"""

_MOVE_MACHINE = """
    update machine m
       set host_id = new.id,
           zone_id = case when m.zone_chosen then m.zone_id else new.zone_id end
      from vm_host new
     where m.id = $1 and new.id = $2
"""
_MOVE_DISKS = """
    update machine_disk d set storage_pool_id = new.id
      from storage_pool old, storage_pool new
     where d.machine_id = $1 and old.id = d.storage_pool_id and new.server_id = $2 and new.pool_key = old.pool_key
"""
# Before the power state of the machine is that of its guest: it was not seen to stop where it was, or nobody could see.
_MOVED_OFF = """
    update machine m set stopped_with = 'moved', start_tries = 0, start_operation_id = null
      from vm_host old, vm_host new, guest g
     where m.id = $1 and old.id = m.host_id and new.id = $2
       and g.machine_id = m.id and g.server_id = new.server_id and g.power_state = 'off'
       and m.wanted_power = 'on' and (m.power_state <> 'off' or old.state = 'unreachable' or old.error_code is not null)
       and not exists (select from operation o where o.machine_id = m.id and o.is_open)
    returning m.system_id, m.hostname, old.name as left_host, new.name as host
"""
# Also counts a start of stock that stays stock, because its host starts it by itself: generations may have gaps.
_LISTED_POWER = """
    with before as (select id, is_stock, is_stock and unproven_since is null as proven_stock
                      from machine where id = $1 for no key update)
    update machine m set power_state = $2, generation = generation + (before.proven_stock and $2 = 'on')::integer
      from before where m.id = before.id
    returning m.system_id, m.hostname, m.host_id,
              before.is_stock and not m.is_stock and m.owner_id is null and m.state = 'ready' as was_stock,
              (select username from account where id = m.composed_by_id) as made_by, null as used_by
"""
_GUEST_GENERATION = "update guest set generation = greatest(generation, $2) where machine_id = $1"
# A pending size that the guest now has is pending no longer.
_SIZE = """
    update machine set cores = $2, memory_mib = $3, pending_cores = nullif(pending_cores, $2),
                       pending_memory_mib = nullif(pending_memory_mib, $3::bigint)
     where id = $1
"""


@frozen(kw_only=True)
class MovedOff:
    """A machine that should run, and the hosts that it left and came to, by name."""

    system_id: str
    hostname: str
    left_host: str
    host: str


class IdentifierTaken(Exception):
    """The UUID, system id, hostname or MAC address of a new machine is in use: `constraint` names which.

    Random ones are chosen again, in a new transaction.
    """

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


async def set_power(db: Db, machine_id: int, power_state: PowerState, asked_by: Operation) -> None:
    """Records the power state in which the operation leaves the machine: from now on it should be so.

    A start after the host was away changes nothing of what the machine should be.
    """
    after_host = asked_by.kind is OperationKind.POWER and asked_by.request_as(PowerRequest).after_host
    if after_host or power_state not in (PowerState.ON, PowerState.OFF):
        await db.execute(_POWER, machine_id, power_state.value)
    else:
        state, by = power_state.value, asked_by.kind.value
        await db.execute(_ASKED_POWER, machine_id, state, state, by, asked_by.username)


async def set_listed_power(db: Db, machine_id: int, power_state: str) -> EndedStock | None:
    """Records the power state that a discovery run found; unlike `set_power`, other runs may still change it.

    Returns the machine if it was stock until it was found on.
    """
    return ended_stock(await db.fetchrow(_LISTED_POWER, machine_id, power_state))


async def set_guest_generation(db: Db, machine_id: int, generation: int) -> None:
    """Records what was written on the host, which the next refresh would find. Idempotent."""
    await db.execute(_GUEST_GENERATION, machine_id, generation)


async def set_size(db: Db, machine_id: int, *, cores: int, memory_mib: int) -> None:
    await db.execute(_SIZE, machine_id, cores, memory_mib)


async def note_moved_off(db: Db, machine_id: int, host_id: int) -> MovedOff | None:
    """Records that a machine that should run is off on the host to which its cluster moved it; None if it is not so.

    Call it before `move`.
    """
    row = await db.fetchrow(_MOVED_OFF, machine_id, host_id)
    return None if row is None else MovedOff(**row)


async def move(db: Db, machine_id: int, *, host_id: int, server_id: int) -> None:
    """Moves the machine to the host, and its disks to the storage pools of the same name on the server.

    A machine without a chosen zone comes to the zone of the new host. The caller holds the lock of that server.
    """
    await db.execute(_MOVE_MACHINE, machine_id, host_id)
    await db.execute(_MOVE_DISKS, machine_id, server_id)


async def guest_power_changed(
    db: Db, host_id: int, guest_id: str, name: str, power_state: str
) -> GuestPowerChange | None:
    """Records a power event; returns the change of a machine, None if there is none.

    Ignores machines that an operation acts on or has just acted on.
    """
    await db.execute(_LISTED_GUEST_POWER, host_id, guest_id, name, power_state)
    row = await db.fetchrow(_GUEST_POWER, host_id, guest_id, name, power_state)
    return None if row is None else of_row(GuestPowerChange, row, ended=ended_stock(row))


async def announce(db: Db, machine_id: int) -> bool:
    """Records that a client knows of the machine; returns False if it was deleted. Idempotent."""
    return bool(await db.fetchval(_ANNOUNCE, machine_id))


async def delete_guest(db: Db, machine_id: int) -> None:
    """Deletes the machine's guest row. Idempotent."""
    await db.execute(_DELETE_GUEST, machine_id)


async def delete(db: Db, machine_id: int) -> None:
    """Deletes the machine's row, disks, NICs and guest row; release its claims first. Idempotent."""
    await db.execute(_DELETE_GUEST, machine_id)
    await db.execute(_DELETE, machine_id)


async def record_tombstone(
    db: Db,
    machine: UUID,
    hostname: str,
    host: tuple[int, str],
    reason: str,
    volumes: Iterable[tuple[str, str]],
    *,
    was_composed: bool,
) -> None:
    """Records that the machine was deleted from `host` (id, name) or rescheduled: what it left may be removed.

    `volumes` (storage pool, name) were created for it there and may be removed too, unless another guest uses them.
    `was_composed`: users may have used its guest. A repeat adds to the volumes.
    """
    places = [{"pool": pool, "name": name} for pool, name in volumes]
    await db.execute(_RECORD_TOMBSTONE, machine, hostname, host[1], reason, host[0], places, was_composed)


async def read_guest(db: Db, machine_id: int) -> tuple[str, str] | None:
    """Returns the hypervisor's id and the name of the machine's guest, as the last refresh found them, or None."""
    row = await db.fetchrow(_GUEST_OF, machine_id)
    return None if row is None else (row["guest_key"], row["name"])
