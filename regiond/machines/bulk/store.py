"""SQL of the user data of deployments that a bulk operation begins."""

from __future__ import annotations

from regiond.db.pool import Db

_INSERT = "insert into bulk_user_data (operation_id, sealed_user_data) values ($1, $2)"
_READ = "select sealed_user_data from bulk_user_data where operation_id = $1"
_DELETE = "delete from bulk_user_data where operation_id = $1"


async def insert_user_data(db: Db, operation_id: int, sealed: bytes) -> None:
    await db.execute(_INSERT, operation_id, sealed)


async def read_user_data(db: Db, operation_id: int) -> bytes | None:
    """Returns the sealed user data; None if the deployments have none."""
    found: bytes | None = await db.fetchval(_READ, operation_id)
    return found


async def delete_user_data(db: Db, operation_id: int) -> None:
    """Idempotent."""
    await db.execute(_DELETE, operation_id)
