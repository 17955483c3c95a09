"""SQL for the names that a search for machines may use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from regiond.db.pool import Db
from regiond.requests.caller import Caller, seen_by

_VISIBLE = """
    ($1::integer[] is null or m.pool_id = any($1) or m.owner_id = $2
     or (m.owner_id is null and m.composed_by_id = $2))
"""
_HOSTS = f"""
    select h.name from vm_host h
     where $1::integer[] is null or h.pool_id = any($1)
        or exists (select from machine m where m.host_id = h.id and {_VISIBLE})
     order by 1
"""  # noqa: S608  # our own texts
_CLUSTERS = f"""
    select distinct c.name from cluster c join vm_host h on h.cluster_id = c.id
     where $1::integer[] is null or h.pool_id = any($1)
        or exists (select from machine m where m.host_id = h.id and {_VISIBLE})
     order by 1
"""  # noqa: S608
_POOLS = f"""
    select p.name from resource_pool p
     where $1::integer[] is null or p.id = any($1)
        or exists (select from machine m where m.pool_id = p.id and {_VISIBLE})
     order by 1
"""  # noqa: S608
_ZONES = "select name from zone order by 1"  # everybody may see them
_OWNERS = f"""
    select username from account where $1::integer[] is null
     union
    select a.username from machine m join account a on a.id = m.owner_id where {_VISIBLE}
     order by 1
"""  # noqa: S608
_TAGS = f"""
    select name from tag
     union
    select tag from machine m cross join unnest(m.tags) tag where {_VISIBLE}
     order by 1
"""  # noqa: S608
_SYSTEMS = f"""
    select name
      from machine m join deployment d on d.machine_id = m.id cross join unnest(array[d.osystem, d.distro_series]) name
     where name <> '' and {_VISIBLE}
     group by name order by 1
"""  # noqa: S608
_ARCHITECTURES = f"select m.architecture from machine m where {_VISIBLE} group by 1 order by 1"  # noqa: S608
_STATEMENTS: Mapping[str, str] = {
    "host": _HOSTS,
    "cluster": _CLUSTERS,
    "pool": _POOLS,
    "owner": _OWNERS,
    "tag": _TAGS,
    "os": _SYSTEMS,
    "arch": _ARCHITECTURES,
}


async def names(db: Db, fields: Iterable[str], *, caller: Caller | None = None) -> Mapping[str, Sequence[str]]:
    """Returns the names that exist for each of the fields, in their order."""
    found: dict[str, Sequence[str]] = {}
    for field in sorted(set(fields)):
        is_zone = field == "zone"
        rows = await db.fetch(_ZONES) if is_zone else await db.fetch(_STATEMENTS[field], *seen_by(caller))
        found[field] = [row[0] for row in rows]
    return found
