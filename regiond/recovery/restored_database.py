"""Moves a database that shows an earlier moment on, such as after a restore or a recovery."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from attrs import frozen

from common.words.phrases import number_of
from regiond.backup.forward_store import forget_processes_and_logins, move_sequences, set_exports, set_images
from regiond.db.history import read_position
from regiond.db.pool import Db
from regiond.db.position import Position
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts.discovery.restored import await_refreshes
from regiond.machines.core.use_evidence import doubt_uses
from regiond.machines.leaving.removal.interrupted import settle_interrupted
from regiond.operations.interrupted import end_interrupted

# The heartbeat of a region is 10 s old at most, if one ran.
_NEWEST = """
    select coalesce(greatest((select max(seen_at) from region_process), (select max(at) from event)),
                    now() - interval '1 year')
"""
_RECORDED = """
    select database_system as system, database_timeline as timeline from installation where database_system is not null
"""
_RECORD = "update installation set database_system = $1, database_timeline = $2"
_REGIONS = """
    select distinct coalesce(host(client_addr), 'the database server') from pg_stat_activity
     where datname = current_database() and application_name in ('innkeeper-regiond', 'innkeeper-notifications')
"""


@frozen(kw_only=True)
class FilesHere:
    """The contents of images and the exports on this computer. `folder`: the id of their folder; `before`: of that of
    the backup. `exports` has the sizes of files in bytes, by name.
    """

    before: UUID | None
    folder: UUID
    contents: Collection[str]
    exports: Mapping[str, int]


async def move_on(db: Db, at: datetime, how: str, files: FilesHere | None, *, position: Position | None = None) -> str:
    """Moves a database that shows the moment `at` on, in the caller's transaction; returns what was done, in words.

    Nothing that was given out since `at` is given out again, no operation of then is continued, every host is refreshed
    before it takes a VM, and no machine is used before that shows whose it is. `how`: such as `from a backup of
    2026-11-25 12:00 UTC`. `files`: None leaves images and exports as they are. `position`: of the server, read if it is
    not given.
    Sequences move on even if the transaction is rolled back.
    """
    sequences = await move_sequences(db, at)
    ended = await end_interrupted(db, how)
    was = {one.machine_id: one.machine_was for one in ended if one.machine_id and one.machine_was}
    machines = await settle_interrupted(db, was)
    await doubt_uses(db, at)
    hosts = await await_refreshes(db, how)
    await forget_processes_and_logins(db)
    if files is not None:
        await set_images(db, before=files.before, here=files.folder, contents=files.contents)
        await set_exports(db, before=files.before, here=files.folder, files=files.exports)
    message = (
        f"The database was restored {how}: {number_of(sequences, 'sequence')} of numbers moved on, "
        f"{number_of(len(ended), 'open operation')} ended, {number_of(machines, 'VM')} in transition settled"
    )
    await record_position(db, position or await read_position(db))
    await Events.record(db, "region_restored", message, level=Level.WARNING)
    return f"{message}. {number_of(hosts, 'VM host')} will be refreshed at the first start."


async def recorded_position(db: Db) -> Position | None:
    """Returns the position of the server for which the database was moved on last; None: it never was."""
    row = await db.fetchrow(_RECORDED)
    return None if row is None else Position(system=row["system"], timeline=row["timeline"])


async def record_position(db: Db, position: Position | None) -> None:
    """Records the server for which the database was moved on: no other region does it again. None: not known."""
    if position is None:
        await db.execute(_RECORD, None, None)
    else:
        await db.execute(_RECORD, position.system, position.timeline)


async def newest_moment(db: Db) -> datetime:
    """Returns a moment from which the database has rows, and from shortly after which it has none."""
    found: datetime = await db.fetchval(_NEWEST)
    return found


async def connected_regions(db: Db) -> list[str]:
    """Returns the computers of regions that are connected to the database.

    The session needs the rights of their role, as the owner of the database has while a command works as it:
    PostgreSQL hides the others.
    """
    return [row[0] for row in await db.fetch(_REGIONS)]
