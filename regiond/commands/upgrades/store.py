"""SQL of the check before an upgrade; each statement only reads."""

from __future__ import annotations

from datetime import datetime

from regiond.commands.upgrades.model import RackVersions, RunningRegion
from regiond.db.pool import Db, of_row

_UNREADABLE = """
    select relname::text as name from pg_class
     where relnamespace = current_schema()::regnamespace and relkind = 'r' and not has_table_privilege(oid, 'select')
       and relowner = (select relowner from pg_class where oid = to_regclass('schema_migration'))
     order by 1
"""
_OPEN_OPERATIONS = "select kind, count(*) as number from operation where is_open group by kind"
_REGIONS = """
    select split_part(hostname, ' ', 1) as hostname, release from region_process
     where seen_at > now() - interval '30 seconds' order by 1
"""
_RACKS = """
    select name, lowest_version as lowest, highest_version as highest from rack
     where removed_at is null and highest_version is not null order by name
"""
_LAST_BACKUP = """
    select max(answer.at) from audit_entry request
      join audit_entry answer on answer.answers = request.id
     where request.action = 'regiond.backup' and answer.result = 'ok'
"""
_HAS_COLUMN = """
    select exists (select from information_schema.columns
                    where table_schema = current_schema() and table_name = $1 and column_name = $2)
"""
# Ready machines without owner that show a sign of a use, as the migration 0027_stock looks for them.
_READY = "select m.hostname from machine m where m.state = 'ready' and m.owner_id is null and "
_EMPTIED_AT = """coalesce((select max(r.finished_at) from operation r
                           where r.machine_id = m.id and r.kind = 'release' and r.state = 'succeeded'
                             and (r.request -> 'deployed' = 'true' or r.request -> 'erase' = 'true')), '-infinity')"""
_USED = f"""{_READY} (
           m.adopted or m.power_state = 'on'
           or exists (select from deployment d where d.machine_id = m.id)
           or exists (select from event e
                       where e.system_id = m.system_id and e.at > {_EMPTIED_AT}
                         and e.kind in ('console_opened', 'screen_opened', 'machine_restored'))
           or exists (select from operation o
                       where o.machine_id = m.id and o.created_at > {_EMPTIED_AT}
                         and (o.kind in ('insert_iso', 'deploy')
                              or (o.kind = 'power' and o.request ->> 'action' <> 'off')
                              or (o.kind = 'add_disk' and jsonb_typeof(o.request -> 'kept') = 'object')
                              or (o.kind = 'compose' and (o.request ? 'import' or o.request ? 'copied'
                                                          or o.request -> 'power_on' = 'true')))))
"""  # noqa: S608  # our own texts
_SHOULD_RUN = f"{_READY} m.wanted_power = 'on'"
_MEASURED = f"{_READY} exists (select from machine_usage u where u.machine_id = m.id)"
_WITH_ISO = f"{_READY} exists (select from guest g where g.machine_id = m.id and (g.iso <> '' or g.next_iso <> ''))"
_DATA_FOLDER = """
    select case when pg_has_role('pg_read_all_settings', 'usage') then current_setting('data_directory') end
"""


async def unreadable(db: Db) -> tuple[str, ...]:
    """Returns the tables that the role of the connection may not read."""
    return tuple(row["name"] for row in await db.fetch(_UNREADABLE))


async def open_operations(db: Db) -> dict[str, int]:
    """Returns the number of open operations by kind."""
    return {row["kind"]: row["number"] for row in await db.fetch(_OPEN_OPERATIONS)}


async def regions(db: Db) -> tuple[RunningRegion, ...]:
    return tuple(of_row(RunningRegion, row) for row in await db.fetch(_REGIONS))


async def racks(db: Db) -> tuple[RackVersions, ...]:
    """Returns the racks that have reported their versions; none if the schema is older than such reports."""
    if not await db.fetchval(_HAS_COLUMN, "rack", "highest_version"):
        return ()
    return tuple(of_row(RackVersions, row) for row in await db.fetch(_RACKS))


async def last_backup_at(db: Db) -> datetime | None:
    """Returns when the last backup was complete, as far as the audit trail has it."""
    found: datetime | None = await db.fetchval(_LAST_BACKUP)
    return found


async def ready_in_use(db: Db) -> tuple[str, ...]:
    """Returns the names of Ready machines without owner that were used, before the schema says which are stock."""
    if await db.fetchval(_HAS_COLUMN, "machine", "is_stock"):
        return ()
    rows = await db.fetch(_USED)
    if await db.fetchval(_HAS_COLUMN, "machine", "wanted_power"):
        rows += await db.fetch(_SHOULD_RUN)
    if await db.fetchval(_HAS_COLUMN, "machine_usage", "machine_id"):
        rows += await db.fetch(_MEASURED)
    if await db.fetchval(_HAS_COLUMN, "guest", "next_iso"):
        rows += await db.fetch(_WITH_ISO)
    return tuple(sorted({row["hostname"] for row in rows}))


async def database_bytes(db: Db) -> int:
    found: int = await db.fetchval("select pg_database_size(current_database())")
    return found


async def data_folder(db: Db) -> str | None:
    """Returns the folder of the server's data; None if the role may not read the setting."""
    found: str | None = await db.fetchval(_DATA_FOLDER)
    return found


async def server_address(db: Db) -> str | None:
    """Returns the address of the server; None over a Unix socket."""
    found: str | None = await db.fetchval("select host(inet_server_addr())")
    return found
