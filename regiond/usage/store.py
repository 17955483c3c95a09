"""SQL that remembers when machines were busy, and since when they are at their limit."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from regiond.db.pool import Db

BUSY_SHARE, BUSY_RATE = 0.05, 100_000.0  # of its cores; bytes per second of disks and NICs together
LIMIT_SHARE = 0.9  # of its cores, and of the memory of which its system reports what it uses
SPACE_LIMIT_SHARE = 0.95  # of its fullest file system
# One statement for all. A row changes at most once an hour, but when the machine comes to a limit or leaves one.
_RECORD = f"""
    insert into machine_usage as u (machine_id, measured_since, measured_at, busy_at, limit_since, limits)
    select m.id, now(), now(),
           case when r.cores_used >= m.cores * {BUSY_SHARE} or r.rate >= {BUSY_RATE} then now() end,
           case when l.found <> '{{}}' then now() end, l.found
      from unnest($1::integer[], $2::text[], $3::float8[], $4::float8[], $5::float8[], $6::float8[])
           r (host_id, guest, cores_used, rate, memory_share, space_share)
      join guest g on g.name = r.guest
      join machine m on m.id = g.machine_id and m.host_id = r.host_id and m.power_state = 'on',
           lateral (select array_remove(array[
                      case when r.cores_used >= m.cores * {LIMIT_SHARE} then 'cpu' end,
                      case when r.memory_share >= {LIMIT_SHARE} then 'memory' end,
                      case when r.space_share >= {SPACE_LIMIT_SHARE} then 'disk' end], null) as found) l
     order by m.id
    on conflict (machine_id) do update
       set measured_since = case when u.measured_at < now() - interval '1 day' then now() else u.measured_since end,
           measured_at = now(),
           busy_at = coalesce(excluded.busy_at, u.busy_at),
           limit_since = case when excluded.limit_since is not null then coalesce(u.limit_since, now()) end,
           limits = excluded.limits
     where u.measured_at < now() - interval '1 hour'
        or (excluded.busy_at is not null and coalesce(u.busy_at < now() - interval '1 hour', true))
        or (excluded.limit_since is null) <> (u.limit_since is null)
        or excluded.limits <> u.limits
"""  # noqa: S608  # our own numbers


@frozen(kw_only=True)
class Reading:
    """The use of a guest in its newest sample. `rate` is bytes per second of disks and NICs together.

    Shares are from 0 to 1: of its memory, and of its fullest file system. None: unknown, which is no limit.
    """

    host_id: int
    guest: str
    cores_used: float
    rate: float
    memory_share: float | None = None
    space_share: float | None = None


async def record(db: Db, readings: Sequence[Reading]) -> None:
    """Records what the readings say of machines that are on. Idempotent; regions may record the same machine."""
    await db.execute(
        _RECORD,
        [one.host_id for one in readings],
        [one.guest for one in readings],
        [one.cores_used for one in readings],
        [one.rate for one in readings],
        [one.memory_share for one in readings],
        [one.space_share for one in readings],
    )
