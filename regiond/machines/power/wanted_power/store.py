"""SQL of machines that should run and are off, and of their starts."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from regiond.db.pool import Db, of_row
from regiond.machines.power.wanted_power.conditions import AUTOSTART
from regiond.machines.power.wanted_power.model import CLOCKS, MOST_TRIES, Progress, Stopped, ToStart
from regiond.machines.values.power import ACCEPTED, FOUND

_TRY_LOCK = "select pg_try_advisory_xact_lock(hashtextextended('wanted_power', 0))"
_NOW = "select clock_timestamp()"
# Uses discovery runs and events that are newer than the last operation only. Locked rows are for the next round.
_STOPPED = """
    select m.id as machine_id, m.system_id, m.hostname, h.id as host_id, h.name as host_name,
           m.power_changed_at as off_at, h.lost_at, h.state_since as back_at, g.runs, g.through, g.anew,
           (select count(*) from machine other
             where other.host_id = h.id and other.wanted_power = 'on' and other.power_state = 'off'
               and other.power_changed_at between m.power_changed_at - interval '1 minute'
                                              and m.power_changed_at + interval '1 minute') as together,
           (select max(o.finished_at) from operation o
             where o.machine_id = m.id and h.lost_at is not null
               and o.created_at < h.state_since and o.finished_at >= h.state_since) as busy_until,
           m.stopped_with is not null as is_unclear
      from machine m
      join vm_host h on h.id = m.host_id and h.state = 'ready' and h.error_code is null
     cross join lateral (
           select count(*) as runs,
                  count(*) filter (where g.started_at < h.lost_at - $1::interval) as through,
                  count(*) filter (where g.started_at >= h.lost_at - $1::interval) as anew
             from guest g
            where g.server_id = h.server_id and g.power_state in ('on', 'paused')) g
     where m.wanted_power = 'on' and m.power_state = 'off'
       and (m.stopped_with is null or m.stopped_with = 'unclear')
       and m.state in ('ready', 'allocated', 'deployed')
       and not exists (select from operation o where o.machine_id = m.id and o.is_open)
     order by m.id
       for no key update of m skip locked
"""
_MARK = """
    update machine set stopped_with = $2, start_tries = 0, start_operation_id = null
     where id = $1 and wanted_power = 'on' and power_state = 'off'
"""
_OFF = """
    update machine
       set wanted_power = 'off', wanted_power_at = clock_timestamp(), wanted_power_by = $2, wanted_power_user = $3,
           stopped_with = null, start_tries = 0
     where id = $1 and power_state = 'off' and wanted_power is distinct from 'off'
    returning true
"""
# Waits until a discovery run that began a minute after the host was back finds the guest off, and the hypervisor has
# started none for a while: LXD and libvirt start guests themselves, and LXD in an order with pauses. A start that
# failed is repeated after the host was away again; one that was cancelled is not.
_TO_START = f"""
    select m.id as machine_id, m.system_id, h.id as host_id, m.hostname,
           coalesce((g.start_order ->> 'priority')::integer, 0) as priority,
           coalesce((g.start_order ->> 'delay_s')::integer, 0) as delay_s
      from machine m
      join vm_host h on h.id = m.host_id and h.state = 'ready' and h.error_code is null
           and h.maintenance_since is null
      join vm_host_schedule v on v.host_id = h.id and v.run_began_at > h.state_since + interval '1 minute'
      join guest g on g.machine_id = m.id
      left join operation last on last.id = m.start_operation_id
     where m.wanted_power = 'on' and m.power_state = 'off' and m.stopped_with = 'host'
       and m.state in ('ready', 'allocated', 'deployed') and {AUTOSTART} <> 'never'
       and (m.start_tries = 0
            or (m.start_tries < {MOST_TRIES} and last.state = 'failed' and h.lost_at > last.created_at))
       and not exists (select from operation o
                        where o.is_open
                          and (o.machine_id = m.id or (o.kind = 'remove_host' and o.host_id = h.id)))
       and greatest(h.state_since + interval '1 minute',
                    (select max(o.power_changed_at) from machine o
                      where o.host_id = h.id and o.power_state = 'on' and o.start_operation_id is null))
           < clock_timestamp() - interval '1 minute'
             - make_interval(secs => (select coalesce(max((s.start_order ->> 'delay_s')::integer), 0)
                                        from guest s where s.server_id = h.server_id))
       and ($1::integer is null or m.id = $1)
"""  # noqa: S608  # our own texts
# Hosts that came back more than a minute ago, with a machine to start, and were not refreshed since.
_TO_REFRESH = """
    select distinct h.id
      from machine m
      join vm_host h on h.id = m.host_id and h.state = 'ready'
           and h.state_since < clock_timestamp() - interval '1 minute'
      join vm_host_schedule v on v.host_id = h.id and v.run_began_at <= h.state_since + interval '1 minute'
     where m.wanted_power = 'on' and m.power_state = 'off' and m.stopped_with = 'host'
     order by h.id
"""
_PROGRESS = """
    select m.host_id, count(*) filter (where o.is_open) as open,
           max(o.finished_at + make_interval(secs => coalesce((g.start_order ->> 'delay_s')::integer, 0))) as next_at
      from machine m
      join operation o on o.id = m.start_operation_id
      join vm_host h on h.id = m.host_id and o.created_at >= h.state_since
      left join guest g on g.machine_id = m.id
     where m.host_id = any($1::integer[])
     group by m.host_id
"""
_STARTED = """
    update machine set start_operation_id = $2, start_tries = start_tries + 1
     where id = $1 and wanted_power = 'on' and power_state = 'off'
    returning true
"""


@frozen(kw_only=True)
class Starts:
    """The machines that wait for their start, and what the starts of their hosts have come to."""

    waiting: tuple[ToStart, ...]
    progress: dict[int, Progress]


async def try_lock(db: Db) -> bool:
    """Returns whether the caller's transaction is the only one of all regions that may decide, until it ends."""
    locked: bool = await db.fetchval(_TRY_LOCK)
    return locked


async def now(db: Db) -> datetime:
    """Returns the time, the same for all regions."""
    found: datetime = await db.fetchval(_NOW)
    return found


async def stopped(db: Db) -> tuple[Stopped, ...]:
    """Returns, locked, the machines that should run, are off, and of which it is not known that their host was away."""
    return tuple(of_row(Stopped, row) for row in await db.fetch(_STOPPED, CLOCKS))


async def mark(db: Db, machine_id: int, stopped_with: str) -> None:
    await db.execute(_MARK, machine_id, stopped_with)


async def set_found_off(db: Db, machine_id: int) -> None:
    """Records that the machine should be off, since it was found so and its host stayed up. Idempotent."""
    await db.execute(_OFF, machine_id, FOUND, None)


async def accept_off(db: Db, machine_id: int, username: str) -> bool:
    """Records that the machine should be off; returns False if it is not off, or should be off already."""
    return bool(await db.fetchval(_OFF, machine_id, ACCEPTED, username))


async def starts(db: Db) -> Starts:
    waiting = tuple(of_row(ToStart, row) for row in await db.fetch(_TO_START, None))
    hosts = sorted({one.host_id for one in waiting})
    rows = await db.fetch(_PROGRESS, hosts) if hosts else []
    progress = {row["host_id"]: Progress(open=row["open"], next_at=row["next_at"]) for row in rows}
    return Starts(waiting=waiting, progress=progress)


async def hosts_to_refresh(db: Db) -> list[int]:
    """Returns the hosts whose guests must be read once more before any is started."""
    return [row["id"] for row in await db.fetch(_TO_REFRESH)]


async def is_to_start(db: Db, machine_id: int) -> bool:
    """Returns whether the machine still waits for its start."""
    return bool(await db.fetch(_TO_START, machine_id))


async def record_start(db: Db, machine_id: int, operation_id: int) -> bool:
    """Returns whether the machine is still off and should run."""
    return await db.fetchval(_STARTED, machine_id, operation_id) is not None
