"""SQL of the sessions of web pages."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

from regiond.accounts.model import SessionView
from regiond.db.pool import Db, Row
from regiond.requests.caller import Caller

_INSERT = """
    insert into web_session (account_id, token_hash, expires_at, idle_ends_at, address, user_agent)
    values ($1, $2, now() + $3::interval, now() + least($3::interval, $4::interval), $5, $6)
    returning id
"""

_READ = """
    select s.id as session_id, a.id, a.username, a.email, a.is_admin, a.is_active
      from web_session s join account a on a.id = s.account_id
     where s.token_hash = $1 and s.idle_ends_at > now()
"""

# Not at each request: a page loads several things at once.
_TOUCH = """
    update web_session
       set last_seen_at = now(), idle_ends_at = least(expires_at, now() + $2::interval), address = $4
     where id = $1 and (last_seen_at < now() - $3::interval or address <> $4)
"""

_LIST = """
    select s.id, a.username, s.created_at, s.last_seen_at, s.idle_ends_at as ends_at, s.address, s.user_agent
      from web_session s join account a on a.id = s.account_id
     where s.idle_ends_at > now() and a.username = $1
     order by s.last_seen_at desc, s.id desc
"""

_ONE = """
    select s.id, a.username, s.created_at, s.last_seen_at, s.idle_ends_at as ends_at, s.address, s.user_agent
      from web_session s join account a on a.id = s.account_id
     where s.idle_ends_at > now() and s.id = $1
"""

_DELETE = "delete from web_session where id = $1"

_DELETE_BY_HASH = """
    delete from web_session s using account a
     where s.token_hash = $1 and a.id = s.account_id
    returning a.id, a.username, a.email, a.is_admin
"""

_DELETE_OLDEST = """
    delete from web_session where id in (
        select id from web_session where account_id = $1 order by last_seen_at desc, id desc offset $2)
"""

_DELETE_OF_ACCOUNT = "delete from web_session where account_id = $1"


@frozen(kw_only=True)
class SessionOwner:
    """A session that has not ended, and its account."""

    session_id: int
    caller: Caller
    is_active: bool


async def insert(
    db: Db, account_id: int, token_hash: bytes, *, lifetime: timedelta, idle: timedelta, address: str, user_agent: str
) -> int:
    """Returns the id."""
    created: int = await db.fetchval(_INSERT, account_id, token_hash, lifetime, idle, address, user_agent)
    return created


async def read(db: Db, token_hash: bytes) -> SessionOwner | None:
    row = await db.fetchrow(_READ, token_hash)
    if row is None:
        return None
    return SessionOwner(session_id=row["session_id"], caller=_caller(row), is_active=row["is_active"])


async def touch(db: Db, session_id: int, *, idle: timedelta, every: timedelta, address: str) -> None:
    """Records that the session is used, at most once in `every` from the same address."""
    await db.execute(_TOUCH, session_id, idle, every, address)


async def list_of(db: Db, username: str) -> tuple[SessionView, ...]:
    return tuple(SessionView(**row) for row in await db.fetch(_LIST, username))


async def one(db: Db, session_id: int) -> SessionView | None:
    row = await db.fetchrow(_ONE, session_id)
    return None if row is None else SessionView(**row)


async def delete(db: Db, session_id: int) -> bool:
    return await db.execute(_DELETE, session_id) == "DELETE 1"


async def delete_by_token(db: Db, token_hash: bytes) -> Caller | None:
    """Returns whose session it was; None if there is none."""
    row = await db.fetchrow(_DELETE_BY_HASH, token_hash)
    return None if row is None else _caller(row)


async def delete_oldest(db: Db, account_id: int, *, keep: int) -> None:
    await db.execute(_DELETE_OLDEST, account_id, keep)


async def delete_of_account(db: Db, account_id: int) -> None:
    """Ends all sessions of the account."""
    await db.execute(_DELETE_OF_ACCOUNT, account_id)


def _caller(row: Row) -> Caller:
    return Caller(account_id=row["id"], username=row["username"], email=row["email"], is_admin=row["is_admin"])
