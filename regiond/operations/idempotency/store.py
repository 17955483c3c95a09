"""SQL of idempotency keys: their requests, and the operations or answers of these."""

from __future__ import annotations

from datetime import timedelta

from regiond.db.pool import Db
from regiond.operations.idempotency.model import LEASE, MAX_ANSWERS, IdempotencyKey, StoredKey

_FIND = """
    select request_hash as digest, operation_id, sealed_answer, coalesce(lease_ends_at < now(), false) as is_abandoned
      from idempotency_key where account_id = $1 and key = $2
"""
_BEGIN = """
    insert into idempotency_key (account_id, key, request_hash, lease_ends_at) values ($1, $2, $3, now() + $4::interval)
    on conflict do nothing
"""
_RENEW = """
    update idempotency_key set lease_ends_at = now() + $3::interval
     where account_id = $1 and key = $2 and lease_ends_at is not null
"""
_END = "delete from idempotency_key where account_id = $1 and key = $2 and lease_ends_at is not null"
# If the request has opened an operation, no answer is stored: the answer changes as the operation proceeds. The request
# may have deleted its own account.
_KEEP = """
    insert into idempotency_key (account_id, key, request_hash, sealed_answer)
    select id, $2, $3, $4 from account where id = $1
    on conflict (account_id, key) do update set sealed_answer = excluded.sealed_answer, lease_ends_at = null
     where idempotency_key.lease_ends_at is not null and idempotency_key.request_hash = excluded.request_hash
"""
_DROP_OLDEST = """
    delete from idempotency_key where (account_id, key) in (
        select account_id, key from idempotency_key
         where account_id = $1 and operation_id is null and (lease_ends_at is null or lease_ends_at < now())
         order by created_at desc offset $2)
"""
_TIE = """
    insert into idempotency_key (account_id, key, request_hash, operation_id) values ($1, $2, $3, $4)
    on conflict do nothing
"""
_REQUEST_KEY = """
    update installation set sealed_request_key = coalesce(sealed_request_key, $1) returning sealed_request_key
"""


async def find(db: Db, key: IdempotencyKey) -> StoredKey | None:
    row = await db.fetchrow(_FIND, key.account_id, key.text)
    return None if row is None else StoredKey(**row)


async def begin(db: Db, key: IdempotencyKey) -> bool:
    """Records that the request runs. Returns False, with nothing recorded, if the key is in use."""
    return await db.execute(_BEGIN, key.account_id, key.text, key.digest, LEASE) == "INSERT 0 1"


async def renew(db: Db, key: IdempotencyKey, lease: timedelta = LEASE) -> None:
    """Extends the lease of a running request. Idempotent."""
    await db.execute(_RENEW, key.account_id, key.text, lease)


async def end(db: Db, key: IdempotencyKey) -> None:
    """Deletes the record of a request that changed nothing. Idempotent."""
    await db.execute(_END, key.account_id, key.text)


async def keep(db: Db, key: IdempotencyKey, sealed_answer: bytes) -> None:
    """Records the answer, unless the request opened an operation; drops the oldest answers of the account."""
    await db.execute(_KEEP, key.account_id, key.text, key.digest, sealed_answer)
    await db.execute(_DROP_OLDEST, key.account_id, MAX_ANSWERS)


async def tie(db: Db, key: IdempotencyKey, operation_id: int) -> bool:
    """Records the operation that the request opens. Returns False, with nothing recorded, if the key is in use."""
    return await db.execute(_TIE, key.account_id, key.text, key.digest, operation_id) == "INSERT 0 1"


async def request_key(db: Db, new: bytes) -> bytes:
    """Returns the installation's sealed HMAC key of requests: the stored one, else `new`, stored now. Idempotent."""
    found: bytes = await db.fetchval(_REQUEST_KEY, new)
    return found
