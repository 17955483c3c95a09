"""Rows of RPC clients."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from regiond.db.pool import Db, of_row
from regiond.racks.admission_model import KnownClient
from regiond.racks.model import RpcClientView
from regiond.requests.caller import Caller

_INSERT = """
    insert into rpc_client (id, name, account_id, certificate_fingerprint, certificate_expires_at, api_key_id)
    values ($1, $2, $3, $4, $5, $6)
"""
# A certificate that has expired does not block the name.
_REPLACE_EXPIRED = """
    update rpc_client set revoked_at = now()
     where name = $1 and revoked_at is null and certificate_expires_at < now()
"""
_KEY_LIFETIME = "select expires_at - now() from api_key where id = $1"
_RENEW = """
    update rpc_client
       set earlier_fingerprints = (array_prepend(certificate_fingerprint, earlier_fingerprints))[1:16],
           certificate_fingerprint = $2, certificate_expires_at = $3
     where id = $1 and revoked_at is null
"""
_READ = """
    select c.revoked_at, array_prepend(c.certificate_fingerprint, c.earlier_fingerprints) as fingerprints,
           c.api_key_id, k.expires_at as key_expires_at, k.expires_at <= now() as key_is_expired,
           a.id, a.username, a.email, a.is_admin, a.is_active
      from rpc_client c join account a on a.id = c.account_id left join api_key k on k.id = c.api_key_id
     where c.id = $1
"""
_LIST = """
    select c.id, c.name, a.username, c.certificate_fingerprint, c.certificate_expires_at, c.issued_at,
           k.name as api_key_name, k.token_key
      from rpc_client c join account a on a.id = c.account_id left join api_key k on k.id = c.api_key_id
     where c.revoked_at is null and ($1::integer is null or c.account_id = $1)
     order by c.name
"""
_REVOKE = """
    update rpc_client set revoked_at = now()
     where name = $1 and revoked_at is null and ($2 or account_id = $3)
    returning id
"""


async def key_lifetime(db: Db, api_key_id: int | None) -> timedelta | None:
    """Returns how long the key remains valid; None: without end."""
    lifetime: timedelta | None = await db.fetchval(_KEY_LIFETIME, api_key_id)
    return lifetime


async def insert(
    db: Db,
    client_id: UUID,
    name: str,
    account_id: int,
    fingerprint: str,
    expires_at: datetime,
    *,
    api_key_id: int | None,
) -> None:
    """Inserts a client. Raises asyncpg.UniqueViolationError if another client has the name.

    Raises asyncpg.ForeignKeyViolationError if account or key was just deleted.
    """
    await db.execute(_REPLACE_EXPIRED, name)
    await db.execute(_INSERT, client_id, name, account_id, fingerprint, expires_at, api_key_id)


async def renew(db: Db, client_id: UUID, fingerprint: str, expires_at: datetime) -> bool:
    """Records a new certificate; returns False if the client is revoked."""
    return await db.execute(_RENEW, client_id, fingerprint, expires_at) == "UPDATE 1"


async def read(db: Db, client_id: UUID) -> KnownClient | None:
    row = await db.fetchrow(_READ, client_id)
    if row is None:
        return None
    return of_row(
        KnownClient,
        row,
        caller=Caller(
            account_id=row["id"],
            username=row["username"],
            email=row["email"],
            is_admin=row["is_admin"],
            api_key_id=row["api_key_id"],
        ),
        fingerprints=frozenset(row["fingerprints"]),
        key_is_expired=bool(row["key_is_expired"]),
    )


async def select(db: Db, *, account_id: int | None) -> tuple[RpcClientView, ...]:
    """Returns the clients of the account; for None, the clients of all accounts."""
    return tuple(RpcClientView(**row) for row in await db.fetch(_LIST, account_id))


async def revoke(db: Db, name: str, account_id: int, *, of_any_account: bool) -> UUID | None:
    """Revokes a client and returns its id; None if there was none to revoke. A trigger notifies all regions."""
    client_id: UUID | None = await db.fetchval(_REVOKE, name, of_any_account, account_id)
    return client_id
