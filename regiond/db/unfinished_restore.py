"""Marks a state folder while a restore fills its database: a region would begin a new installation there."""

from __future__ import annotations

from pathlib import Path

from common.errors import BadSettings
from common.process.private_files import write_private
from regiond.db.errors import translating_errors
from regiond.db.migrate import has_schema
from regiond.db.pool import connect

_FILE = "restore.unfinished"


def begin_restore(state: Path) -> bool:
    """Returns whether the mark is new, when it is on the disk. Idempotent."""
    is_new = not (state / _FILE).exists()
    write_private(state / _FILE, "")
    return is_new


def end_restore(state: Path) -> None:
    """Removes the mark. Call it when the database itself says that it is being restored. Idempotent."""
    (state / _FILE).unlink(missing_ok=True)


async def check_restored(dsn: str, state: Path) -> None:
    """Raises BadSettings if the folder is marked and the database is still empty; call it before `migrate`."""
    mark = state / _FILE
    if not mark.exists():
        return
    connection = await connect(dsn, application_name="innkeeper-check")
    try:
        with translating_errors(connection):
            is_empty = not await has_schema(connection)
    finally:
        await connection.close(timeout=10.0)
    if is_empty:
        raise BadSettings(
            "A restore into this database has not ended. If none runs, it failed or was interrupted: repeat "
            f"`innkeeper region restore`. To begin a new installation instead, delete {mark}.",
            setting="database",
        )
