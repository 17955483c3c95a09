"""SQL of accounts and their API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from regiond.accounts.model import ApiKey, ApiKeyView, secret_hash
from regiond.caller import Caller

if TYPE_CHECKING:
    from regiond.db.pool import Db, Row

_OWNER = """
    select k.token_secret_hash, a.id, a.username, a.email, a.is_admin, a.is_active
      from api_key k join account a on a.id = k.account_id
     where k.consumer_key = $1 and k.token_key = $2
"""

# Inserts nothing if any account exists, or if another process inserts this one concurrently.
_INSERT_FIRST_ADMIN = """
    insert into account (username, is_admin)
    select $1, true where not exists (select from account)
    on conflict (username) do nothing
    returning id
"""

_INSERT_KEY = """
    insert into api_key (account_id, name, consumer_key, token_key, token_secret_hash) values ($1, $2, $3, $4, $5)
"""

_DELETE_KEY = "delete from api_key where account_id = $1 and token_key = $2"

_DELETE_OLDER_KEYS = """
    delete from api_key
     where id in (select id from api_key where account_id = $1 and name = $2 order by id desc offset $3)
    returning token_key
"""
_LIST_KEYS = "select name, consumer_key, token_key, created_at from api_key where account_id = $1 order by id"

_LIST_USERS = "select id, username, email, is_admin from account order by username"

_USER = "select id, username, email, is_admin from account where username = $1"

_SET_ACTIVE = "update account set is_active = $2 where username = $1"


_PASSWORD = "select id, username, email, is_admin, is_active, password_hash from account where username = $1"  # noqa: S105

_SET_PASSWORD = "update account set password_hash = $2 where id = $1"  # noqa: S105


@frozen(kw_only=True)
class PasswordOwner:
    """An account and the hash of its password, if it has one."""

    caller: Caller
    is_active: bool
    password_hash: str | None


@frozen(kw_only=True)
class KeyOwner:
    """The account of a key, and the required hash of the secret."""

    caller: Caller
    is_active: bool
    token_secret_hash: bytes


async def owner_of_key(db: Db, consumer_key: str, token_key: str) -> KeyOwner | None:
    row = await db.fetchrow(_OWNER, consumer_key, token_key)
    if row is None:
        return None
    return KeyOwner(caller=_caller(row), is_active=row["is_active"], token_secret_hash=row["token_secret_hash"])


async def insert_first_admin(db: Db, username: str) -> int | None:
    """Returns the id of the new account; None if there are accounts already."""
    account_id: int | None = await db.fetchval(_INSERT_FIRST_ADMIN, username)
    return account_id


async def insert_key(db: Db, account_id: int, name: str, key: ApiKey) -> None:
    await db.execute(_INSERT_KEY, account_id, name, key.consumer_key, key.token_key, secret_hash(key.token_secret))


async def delete_key(db: Db, account_id: int, token_key: str) -> bool:
    return await db.execute(_DELETE_KEY, account_id, token_key) == "DELETE 1"


async def delete_older_keys(db: Db, account_id: int, name: str, *, keep: int) -> frozenset[str]:
    """Deletes all but the newest `keep` keys of that name, and returns the token keys of those deleted."""
    return frozenset(row["token_key"] for row in await db.fetch(_DELETE_OLDER_KEYS, account_id, name, keep))


async def list_keys(db: Db, account_id: int) -> tuple[ApiKeyView, ...]:
    return tuple(ApiKeyView(**row) for row in await db.fetch(_LIST_KEYS, account_id))


async def list_users(db: Db) -> tuple[Caller, ...]:
    return tuple(_caller(row) for row in await db.fetch(_LIST_USERS))


async def user(db: Db, username: str) -> Caller | None:
    row = await db.fetchrow(_USER, username)
    return None if row is None else _caller(row)


async def set_active(db: Db, username: str, *, active: bool) -> bool:
    return await db.execute(_SET_ACTIVE, username, active) == "UPDATE 1"


async def password_of(db: Db, username: str) -> PasswordOwner | None:
    row = await db.fetchrow(_PASSWORD, username)
    if row is None:
        return None
    return PasswordOwner(caller=_caller(row), is_active=row["is_active"], password_hash=row["password_hash"])


async def set_password_hash(db: Db, account_id: int, password_hash: str) -> None:
    await db.execute(_SET_PASSWORD, account_id, password_hash)


def _caller(row: Row) -> Caller:
    return Caller(account_id=row["id"], username=row["username"], email=row["email"], is_admin=row["is_admin"])
