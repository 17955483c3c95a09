"""SQL of accounts and their API keys."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from attrs import evolve, frozen

from common.errors import NotAuthenticated
from regiond.accounts.model import WRONG, ApiKey, ApiKeyView, Login, secret_hash
from regiond.db.pool import Db, Row, of_row
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord

_OWNER = """
    select k.id as key_id, k.token_secret_hash, k.sealed_token_secret,
           k.expires_at, k.expires_at <= now() as is_expired, a.id, a.username, a.email, a.is_admin, a.is_active
      from api_key k join account a on a.id = k.account_id
     where k.consumer_key = $1 and k.token_key = $2
"""

# The lock makes concurrent requests of one user respect the limit.
_LOCK_ACCOUNT = "select from account where id = $1 for no key update"
# A hash takes seconds while others wait for a thread. Waits for a change of the password or of the account, which locks
# the row before it ends the logins; what it committed decides. The same lock as above, since a weaker one would have to
# be raised by the limit of keys, and two logins would deadlock.
_HOLD_LOGIN = "select id from account where id = $1 and is_active and password_hash = $2 for no key update"
_DELETE_EXPIRED = "delete from api_key where account_id = $1 and expires_at < now() - interval '30 days'"
_COUNT_KEYS = "select count(*) from api_key where account_id = $1"
_DELETE_OLDEST_LOGIN = """
    delete from api_key where id = (
        select id from api_key k
         where account_id = $1 and by_login
           and not exists (select from rpc_client c where c.api_key_id = k.id and c.revoked_at is null)
         order by coalesce(last_used_at, created_at), id limit 1)
"""
_INSERT_KEY = """
    insert into api_key (account_id, name, consumer_key, token_key, token_secret_hash, sealed_token_secret, by_login,
                         expires_at)
    values ($1, $2, $3, $4, $5, $6, $7, least(now() + $8::interval, $9::timestamptz))
"""
_KEY_OF_REQUEST = """
    select expires_at from api_key
     where id = $1 and account_id = $2 and (expires_at is null or expires_at > now())
       for share
"""
_RENAME_KEY = """
    update api_key set name = $3 where account_id = $1 and token_key = $2
    returning name, consumer_key, token_key, created_at, expires_at, last_used_at, by_login,
              case when sealed_token_secret is null then 'PLAINTEXT' else 'HMAC-SHA1' end as signature_method
"""
_DELETE_KEY = "delete from api_key where account_id = $1 and token_key = $2"
_CLIENTS_OF_KEY = """
    select c.id::text as id, c.name
      from rpc_client c join api_key k on k.id = c.api_key_id
     where k.account_id = $1 and k.token_key = $2 and c.revoked_at is null
     order by c.name
"""
_LIST_KEYS = """
    select name, consumer_key, token_key, created_at, expires_at, last_used_at, by_login,
           case when sealed_token_secret is null then 'PLAINTEXT' else 'HMAC-SHA1' end as signature_method
      from api_key where account_id = $1 order by id
"""
_WRITE_USE = "update api_key set last_used_at = now() where id = any($1)"
_DELETE_OLDER_LOGINS = """
    delete from api_key
     where id in (
        select id from api_key k
         where account_id = $1 and name = $2 and by_login
           and not exists (select from rpc_client c where c.api_key_id = k.id and c.revoked_at is null)
         order by id desc offset $3)
    returning token_key
"""

_USER = "select id, username, email, is_admin from account where username = $1"

_STILL = """
    select a.id, a.username, a.email, a.is_admin
      from account a
     where a.id = $1 and a.is_active
       and ($2::integer is null or exists (
            select from api_key k
             where k.id = $2 and k.account_id = a.id and (k.expires_at is null or k.expires_at > now())))
"""

_PASSWORD = "select id, username, email, is_admin, is_active, password_hash from account where username = $1"  # noqa: S105

_SET_PASSWORD = "update account set password_hash = $2 where id = $1"  # noqa: S105
_REHASH = "update account set password_hash = $3 where id = $1 and password_hash = $2"


@frozen(kw_only=True)
class PasswordOwner:
    """An account and the hash of its password, if it has one."""

    caller: Caller
    is_active: bool
    password_hash: str | None


@frozen(kw_only=True)
class KeyOwner:
    """The account of a key, and either the hash of its secret or the encrypted secret."""

    caller: Caller
    is_active: bool
    token_secret_hash: bytes | None
    sealed_token_secret: bytes | None
    expires_at: datetime | None
    is_expired: bool


async def owner_of_key(db: Db, consumer_key: str, token_key: str) -> KeyOwner | None:
    row = await db.fetchrow(_OWNER, consumer_key, token_key)
    if row is None:
        return None
    return of_row(
        KeyOwner, row, caller=evolve(_caller(row), api_key_id=row["key_id"]), is_expired=bool(row["is_expired"])
    )


async def insert_key(
    db: Db,
    account_id: int,
    name: str,
    key: ApiKey,
    *,
    sealed: bytes | None,
    by_login: bool,
    lifetime: timedelta | None,
    expires_by: datetime | None,
) -> None:
    """Inserts the key with its `sealed` secret; None: with the hash of its secret.

    It expires after `lifetime`, and not later than `expires_by`; None: no such limit.
    """
    hashed = secret_hash(key.token_secret) if sealed is None else None
    await db.execute(
        _INSERT_KEY, account_id, name, key.consumer_key, key.token_key, hashed, sealed, by_login, lifetime, expires_by
    )


async def end_of_valid_key(db: Db, account_id: int, key_id: int) -> datetime | None:
    """Returns when the key expires, None: never; nobody deletes it until the end of the transaction.

    Raises NotAuthenticated if it is no longer valid.
    """
    row = await db.fetchrow(_KEY_OF_REQUEST, key_id, account_id)
    if row is None:
        raise NotAuthenticated("The API key of this request was just deleted, or has expired.")
    found: datetime | None = row["expires_at"]
    return found


async def count_keys(db: Db, account_id: int) -> int:
    """Returns the number of keys, which nobody else changes until the end of the transaction.

    Deletes those that expired more than 30 days ago.
    """
    await db.execute(_LOCK_ACCOUNT, account_id)
    await db.execute(_DELETE_EXPIRED, account_id)
    return int(await db.fetchval(_COUNT_KEYS, account_id))


async def delete_oldest_login(db: Db, account_id: int) -> bool:
    """Deletes the login key that was used the longest ago and has no RPC client. Returns whether there was one."""
    return await db.execute(_DELETE_OLDEST_LOGIN, account_id) == "DELETE 1"


async def rename_key(db: Db, account_id: int, token_key: str, name: str) -> ApiKeyView | None:
    row = await db.fetchrow(_RENAME_KEY, account_id, token_key, name)
    return None if row is None else ApiKeyView(**row)


async def clients_of_key(db: Db, account_id: int, token_key: str) -> tuple[AffectedRecord, ...]:
    """Returns the RPC clients that end with the key."""
    rows = await db.fetch(_CLIENTS_OF_KEY, account_id, token_key)
    return tuple(AffectedRecord(kind="RPC client", id=row["id"], name=row["name"]) for row in rows)


async def write_use(db: Db, key_ids: Collection[int]) -> None:
    await db.execute(_WRITE_USE, list(key_ids))


async def delete_key(db: Db, account_id: int, token_key: str) -> bool:
    return await db.execute(_DELETE_KEY, account_id, token_key) == "DELETE 1"


async def delete_older_logins(db: Db, account_id: int, name: str, *, keep: int) -> frozenset[str]:
    """Deletes all but the newest `keep` login keys of that name without RPC clients; returns their token keys."""
    return frozenset(row["token_key"] for row in await db.fetch(_DELETE_OLDER_LOGINS, account_id, name, keep))


async def list_keys(db: Db, account_id: int) -> tuple[ApiKeyView, ...]:
    return tuple(ApiKeyView(**row) for row in await db.fetch(_LIST_KEYS, account_id))


async def user(db: Db, username: str) -> Caller | None:
    row = await db.fetchrow(_USER, username)
    return None if row is None else _caller(row)


async def still(db: Db, account_id: int, api_key_id: int | None) -> Caller | None:
    """Returns the account; None if it or the key was deleted, disabled or has expired."""
    row = await db.fetchrow(_STILL, account_id, api_key_id)
    return None if row is None else evolve(_caller(row), api_key_id=api_key_id)


async def password_of(db: Db, username: str) -> PasswordOwner | None:
    row = await db.fetchrow(_PASSWORD, username)
    if row is None:
        return None
    return PasswordOwner(caller=_caller(row), is_active=row["is_active"], password_hash=row["password_hash"])


async def set_password_hash(db: Db, account_id: int, password_hash: str) -> None:
    await db.execute(_SET_PASSWORD, account_id, password_hash)


async def hold_login(db: Db, login: Login) -> None:
    """Returns if the password is still the verified one; nobody changes it until the end of the transaction.

    It comes first in a transaction. Raises NotAuthenticated, as for a wrong password, if the password was changed, or
    the account deactivated or deleted, while the password was verified.
    """
    if await db.fetchrow(_HOLD_LOGIN, login.caller.account_id, login.password_hash) is None:
        raise NotAuthenticated(WRONG, account=login.caller.username)


async def rehash(db: Db, account_id: int, old: str, new: str) -> bool:
    """Replaces the hash by another of the same password; returns False if it was replaced since."""
    return await db.execute(_REHASH, account_id, old, new) == "UPDATE 1"


def _caller(row: Row) -> Caller:
    return Caller(account_id=row["id"], username=row["username"], email=row["email"], is_admin=row["is_admin"])
