"""SQL of users: creation, changes and deletion."""

from __future__ import annotations

from regiond.accounts import session_store
from regiond.accounts.model import NewUser, User, UserChange
from regiond.db.pool import Db

_LIST = """
    select id, username, email, is_admin, is_active, password_hash is not null as has_password, created_at
      from account order by username
"""
_READ = """
    select id, username, email, is_admin, is_active, password_hash is not null as has_password, created_at
      from account where username = $1
"""
# The same order in every transaction, so that two of them do not deadlock.
_LOCK = "select id from account where (is_admin and is_active) or username = any($1) order by id for update"
_OTHER_ADMINISTRATORS = "select count(*) from account where is_admin and is_active and id <> $1"
_FIRST_ADMINISTRATOR = "select username from account where is_admin and is_active order by id limit 1"

# One statement for several regions and commands at a time: the table has no other lock for "there is none yet".
_LOCK_ACCOUNTS = "lock table account in share row exclusive mode"
_INSERT = """
    insert into account (username, email, is_admin, password_hash) values ($1, $2, $3, $4)
    on conflict (username) do nothing
    returning id
"""
_UPDATE = """
    update account set email = coalesce($2, email), is_admin = coalesce($3, is_admin),
                       is_active = coalesce($4, is_active), password_hash = coalesce($5, password_hash)
     where id = $1
"""
_END_LOGINS = """
    delete from api_key where account_id = $1 and by_login and ($2::integer is null or id <> $2) returning token_key
"""
_DELETE = "delete from account where id = $1"


async def list_users(db: Db) -> tuple[User, ...]:
    return tuple(User(**row) for row in await db.fetch(_LIST))


async def read(db: Db, username: str) -> User | None:
    row = await db.fetchrow(_READ, username)
    return None if row is None else User(**row)


async def lock(db: Db, *usernames: str) -> None:
    """Locks these users and the active administrators until the end of the transaction."""
    await db.execute(_LOCK, list(usernames))


async def lock_accounts(db: Db) -> None:
    """Until the end of the transaction nobody else adds, changes or deletes an account."""
    await db.execute(_LOCK_ACCOUNTS)


async def has_other_administrator(db: Db, account_id: int) -> bool:
    """Whether an active administrator remains without this account. `lock` comes first."""
    return bool(await db.fetchval(_OTHER_ADMINISTRATORS, account_id))


async def first_administrator(db: Db) -> str | None:
    """Returns the name of the oldest active administrator, None if there is none."""
    username: str | None = await db.fetchval(_FIRST_ADMINISTRATOR)
    return username


async def insert(db: Db, new: NewUser, password_hash: str | None) -> int | None:
    """Returns the id of the new account; None if the name is taken."""
    account_id: int | None = await db.fetchval(_INSERT, new.username, new.email, new.is_admin, password_hash)
    return account_id


async def update(db: Db, account_id: int, change: UserChange, password_hash: str | None) -> None:
    await db.execute(_UPDATE, account_id, change.email, change.is_admin, change.is_active, password_hash)


async def end_logins(db: Db, account_id: int, *, except_key: int | None) -> int:
    """Deletes the API keys that logins made, except that one, and all sessions. Returns the number of keys."""
    await session_store.delete_of_account(db, account_id)
    return len(await db.fetch(_END_LOGINS, account_id, except_key))


async def delete(db: Db, account_id: int) -> None:
    await db.execute(_DELETE, account_id)
