"""SQL of idempotency keys and the operations that they opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from common.errors import Busy, IdempotencyMismatch

if TYPE_CHECKING:
    from regiond.db.pool import Db

_FIND = "select request_hash, operation_id from idempotency_key where account_id = $1 and key = $2"
_INSERT = """
    insert into idempotency_key (account_id, key, request_hash, operation_id) values ($1, $2, $3, $4)
"""


async def operation_of_key(db: Db, account_id: int, key: str, request_hash: bytes) -> int | None:
    """Returns the id of the operation that this key opened. Raises IdempotencyMismatch if the request was another."""
    row = await db.fetchrow(_FIND, account_id, key)
    if row is None:
        return None
    if row["request_hash"] != request_hash:
        raise IdempotencyMismatch(
            f"The idempotency key {key!r} was used for another request (operation {row['operation_id']}); "
            "use a new key for a new request.",
            operation=row["operation_id"],
        )
    return int(row["operation_id"])


async def store_key(db: Db, account_id: int, key: str, request_hash: bytes, operation_id: int) -> None:
    """Ties the key to the operation, in the transaction that opens it.

    Raises Busy if another request with the key has just committed; the transaction must then roll back.
    """
    try:
        await db.execute(_INSERT, account_id, key, request_hash, operation_id)
    except asyncpg.UniqueViolationError as error:
        raise Busy(f"Another request with the idempotency key {key!r} is in progress. Try again.") from error
