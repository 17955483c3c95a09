"""SQL of the files of VMs."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from attrs import frozen

from common.serialization import from_dict, to_dict
from regiond.db.pool import Db, Row
from regiond.exports.model import UPLOAD_IDLE_S, Export, ExportState, MachineDescription

_SELECT = """
    select e.id, e.name, e.state, e.account_id, a.username as owner, e.system_id as machine, e.operation_id,
           e.size_bytes, e.received_bytes, e.percent, e.sha256, e.error, e.description, e.created_at, e.expires_at,
           e.store_id, e.file
      from machine_export e left join account a on a.id = e.account_id
"""
_LIST = _SELECT + " where $1::integer is null or e.account_id = $1 order by e.id"
_READ = _SELECT + " where e.id = $1"
_IN_STATE = _SELECT + " where e.store_id = $1 and e.state = $2 order by e.id"
_LOCK = "select pg_advisory_xact_lock(7358118203461)"
_INSERT = """
    insert into machine_export (name, state, account_id, system_id, size_bytes, sha256, store_id, file, expires_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + make_interval(days => $9))
    returning id
"""
_TIE = "update machine_export set operation_id = $2 where id = $1"
_BEGIN = """
    update machine_export set store_id = $2, file = $3, size_bytes = 0, percent = 0
     where id = $1 and state = 'exporting'
"""
_PROGRESS = """
    update machine_export set size_bytes = $3, percent = $4 where id = $1 and file = $2 and state = 'exporting'
"""
_EXPORTED = """
    update machine_export
       set state = 'ready', size_bytes = $3::bigint, received_bytes = $3::bigint, percent = 100,
           sha256 = $4, description = $5, expires_at = clock_timestamp() + make_interval(days => $6)
     where id = $1 and file = $2 and state = 'exporting'
"""
_RECEIVED = """
    update machine_export
       set received_bytes = $3::bigint, percent = ($3::bigint * 100 / size_bytes)::smallint,
           state = case when $3::bigint = size_bytes then 'checking' else state end,
           expires_at = greatest(expires_at, clock_timestamp() + make_interval(days => $4))
     where id = $1 and received_bytes = $2 and state = 'uploading'
"""
_LOST = "update machine_export set received_bytes = 0, percent = 0 where id = $1 and state = 'uploading'"
_CHECKED = """
    update machine_export
       set state = 'ready', description = $2, expires_at = clock_timestamp() + make_interval(days => $3)
     where id = $1 and state = 'checking'
"""
_FAILED = "update machine_export set state = 'failed', error = $2 where id = $1 and state in ('checking', 'ready')"
_DELETE = "delete from machine_export where id = $1"
# An import reads its file until its operation ends or is undone. A row and the operation that writes it are committed
# together.
_EXPIRE = """
    delete from machine_export e
     where e.expires_at < clock_timestamp() and e.state <> 'exporting'
       and not exists (select from operation o
                        where o.is_open and o.state <> 'undoing' and o.kind = 'compose'
                          and o.request #>> '{import,export_id}' = e.id::text)
    returning id, name, account_id
"""
_ABANDONED = """
    delete from machine_export e
     where e.state = 'exporting' and not exists (select from operation o where o.is_open and o.id = e.operation_id)
    returning id, name, account_id
"""
_HOLD = """
    update machine_export set expires_at = greatest(expires_at, clock_timestamp() + interval '1 day')
     where id = $1 and state = 'ready'
"""
_LOCK_ONE = "select from machine_export where id = $1 for update"
_USER = """
    select o.id, o.state, o.hostname
      from machine_export e
      join operation o on o.is_open
                      and (o.id = e.operation_id
                           or (o.kind = 'compose' and o.state <> 'undoing'
                               and o.request #>> '{import,export_id}' = e.id::text))
     where e.id = $1
     order by o.id limit 1
"""
_NEEDED = "select file from machine_export where store_id = $1 and file = any($2) and state <> 'failed'"
# Each part of an upload lets it expire in a day: that says when the last one has come.
_USED = """
    select coalesce(sum(case when state = 'failed' then 0
                             when state = 'uploading'
                                  and expires_at < clock_timestamp() + interval '1 day' - make_interval(secs => $3)
                                  then received_bytes
                             else size_bytes end), 0)::bigint
      from machine_export where store_id = $1 and id <> $2
"""
_USED_BY = """
    select case when a.is_admin then null else (
        select coalesce(sum(case when state = 'failed' then 0
                                 when state = 'uploading'
                                      and expires_at < clock_timestamp() + interval '1 day' - make_interval(secs => $3)
                                      then received_bytes
                                 else size_bytes end), 0)::bigint
          from machine_export where account_id = a.id and id <> $2) end
      from account a where a.id = $1
"""
_MISSING = """
    select coalesce(sum(size_bytes - received_bytes), 0)::bigint from machine_export
     where store_id = $1 and state = 'uploading'
       and expires_at >= clock_timestamp() + interval '1 day' - make_interval(secs => $2)
"""
_IS_IDLE = """
    select state = 'uploading' and expires_at < clock_timestamp() + interval '1 day' - make_interval(secs => $2)
      from machine_export where id = $1
"""
_RENEW = """
    update machine_export set expires_at = clock_timestamp() + interval '1 day'
     where id = $1 and state = 'uploading'
"""


@frozen(kw_only=True)
class NewExport:
    name: str
    state: ExportState
    account_id: int | None
    machine: str = ""
    size_bytes: int = 0
    sha256: str = ""
    store_id: UUID | None = None
    file: str = ""


@frozen(kw_only=True)
class Deleted:
    id: int
    name: str
    account_id: int | None


@frozen(kw_only=True)
class User:
    """An operation that uses an export; `hostname` is that of its machine."""

    id: int
    state: str
    hostname: str


async def lock(db: Db) -> None:
    """Lets one transaction at a time decide whether another file fits."""
    await db.execute(_LOCK)


async def insert(db: Db, new: NewExport, *, keep_days: int) -> int:
    """Returns the id."""
    values = (new.name, new.state.value, new.account_id, new.machine, new.size_bytes, new.sha256, new.store_id)
    return int(await db.fetchval(_INSERT, *values, new.file, keep_days))


async def tie(db: Db, export_id: int, operation_id: int) -> None:
    """Records the operation that writes the file."""
    await db.execute(_TIE, export_id, operation_id)


async def list_exports(db: Db, account_id: int | None) -> tuple[Export, ...]:
    """Returns those of an account; None: all."""
    return tuple(map(_export, await db.fetch(_LIST, account_id)))


async def read(db: Db, export_id: int) -> Export | None:
    row = await db.fetchrow(_READ, export_id)
    return None if row is None else _export(row)


async def in_state(db: Db, store_id: UUID, state: ExportState) -> tuple[Export, ...]:
    return tuple(map(_export, await db.fetch(_IN_STATE, store_id, state.value)))


async def begin(db: Db, export_id: int, store_id: UUID, file: str) -> bool:
    """An attempt writes to this file from now on, and no earlier one counts. False if the export was deleted."""
    return await db.execute(_BEGIN, export_id, store_id, file) == "UPDATE 1"


async def set_progress(db: Db, export_id: int, file: str, written_bytes: int, percent: int) -> bool:
    """False if another attempt writes the export now."""
    return await db.execute(_PROGRESS, export_id, file, written_bytes, percent) == "UPDATE 1"


async def set_exported(
    db: Db, export_id: int, file: str, size_bytes: int, sha256: str, found: MachineDescription, *, keep_days: int
) -> bool:
    """False if another attempt writes the export now."""
    values = (export_id, file, size_bytes, sha256, to_dict(found), keep_days)
    return await db.execute(_EXPORTED, *values) == "UPDATE 1"


async def add_received(db: Db, export_id: int, before: int, after: int, *, keep_days: int) -> bool:
    """False if the upload has another length now, or was deleted."""
    return await db.execute(_RECEIVED, export_id, before, after, keep_days) == "UPDATE 1"


async def forget_received(db: Db, export_id: int) -> None:
    """Records that nothing was received: the upload starts again."""
    await db.execute(_LOST, export_id)


async def set_checked(db: Db, export_id: int, found: MachineDescription, *, keep_days: int) -> bool:
    """False if it was deleted."""
    return await db.execute(_CHECKED, export_id, to_dict(found), keep_days) == "UPDATE 1"


async def set_failed(db: Db, export_id: int, error: str) -> bool:
    """False if it was deleted."""
    return await db.execute(_FAILED, export_id, error) == "UPDATE 1"


async def delete(db: Db, export_id: int) -> None:
    """Idempotent. The file is removed by the cleanup."""
    await db.execute(_DELETE, export_id)


async def expire(db: Db) -> tuple[Deleted, ...]:
    """Deletes expired exports, but those that an open operation imports."""
    return tuple(Deleted(**row) for row in await db.fetch(_EXPIRE))


async def delete_abandoned(db: Db) -> tuple[Deleted, ...]:
    """Deletes exports whose operation has ended without completing or undoing them."""
    return tuple(Deleted(**row) for row in await db.fetch(_ABANDONED))


async def hold(db: Db, export_id: int) -> bool:
    """Lets the export expire in a day at the earliest. False if it is not ready, or was deleted."""
    return await db.execute(_HOLD, export_id) == "UPDATE 1"


async def lock_one(db: Db, export_id: int) -> None:
    """Nobody changes, deletes or holds the export until the transaction ends."""
    await db.execute(_LOCK_ONE, export_id)


async def user_of(db: Db, export_id: int) -> User | None:
    """Returns the oldest open operation that writes or imports the export."""
    row = await db.fetchrow(_USER, export_id)
    return None if row is None else User(**row)


async def needed_of(db: Db, store_id: UUID, files: Iterable[str]) -> frozenset[str]:
    """Returns those of the files of a folder to which an export refers."""
    return frozenset(row["file"] for row in await db.fetch(_NEEDED, store_id, list(files)))


async def used_bytes(db: Db, store_id: UUID, *, without: int = 0) -> int:
    """Returns what all files take in a folder, or will take, but for one."""
    return int(await db.fetchval(_USED, store_id, without, UPLOAD_IDLE_S))


async def used_by(db: Db, account_id: int, *, without: int = 0) -> int | None:
    """Returns what the files of an account take, or will take, but for one; None: an administrator's have no limit."""
    found = await db.fetchval(_USED_BY, account_id, without, UPLOAD_IDLE_S)
    return None if found is None else int(found)


async def missing_bytes(db: Db, store_id: UUID) -> int:
    """Returns what uploads into a folder were promised and have not sent yet."""
    return int(await db.fetchval(_MISSING, store_id, UPLOAD_IDLE_S))


async def is_idle(db: Db, export_id: int) -> bool:
    """Returns whether no part of the upload has come for UPLOAD_IDLE_S."""
    return bool(await db.fetchval(_IS_IDLE, export_id, UPLOAD_IDLE_S))


async def renew(db: Db, export_id: int) -> None:
    """Promises the upload its space again."""
    await db.execute(_RENEW, export_id)


def _export(row: Row) -> Export:
    values = dict(row)
    values["state"] = ExportState(values["state"])
    if values["description"] is not None:
        values["description"] = from_dict(values["description"], MachineDescription)
    return Export(**values)
