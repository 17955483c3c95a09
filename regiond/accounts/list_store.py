"""SQL of the saved filters and the chosen columns of accounts."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.accounts.model import ListColumns, SavedFilter
from regiond.db.pool import Db, of_row

# The lock makes concurrent requests of one user respect the limit.
_LOCK_ACCOUNT = "select from account where id = $1 for no key update"
_COUNT = "select count(*) from saved_filter where account_id = $1"
_FILTERS = """
    select id, list, name, query, created_at from saved_filter
     where account_id = $1 and ($2::text is null or list = $2) order by list, lower(name), id
"""
_FILTER = "select id, list, name, query, created_at from saved_filter where account_id = $1 and id = $2"
_INSERT = """
    insert into saved_filter (account_id, list, name, query) values ($1, $2, $3, $4)
    on conflict (account_id, list, name) do nothing
    returning id, list, name, query, created_at
"""
_NAMED = "select exists (select from saved_filter where account_id = $1 and list = $2 and name = $3 and id <> $4)"
_UPDATE = """
    update saved_filter set name = $3, query = $4 where account_id = $1 and id = $2
    returning id, list, name, query, created_at
"""
_DELETE = "delete from saved_filter where account_id = $1 and id = $2"
_COLUMNS = """
    select list, columns from list_columns where account_id = $1 and ($2::text is null or list = $2) order by list
"""

_CHOOSE = """
    insert into list_columns (account_id, list, columns) values ($1, $2, $3)
    on conflict (account_id, list) do update set columns = excluded.columns
"""
_FORGET = "delete from list_columns where account_id = $1 and list = $2"


async def lock_and_count(db: Db, account_id: int) -> int:
    """Returns the number of saved filters, to which nobody else adds one until the end of the transaction."""
    await db.execute(_LOCK_ACCOUNT, account_id)
    return int(await db.fetchval(_COUNT, account_id))


async def filters(db: Db, account_id: int, of_list: str | None = None) -> tuple[SavedFilter, ...]:
    """Returns those of one list, or of all, by list and name."""
    return tuple(of_row(SavedFilter, row) for row in await db.fetch(_FILTERS, account_id, of_list))


async def read(db: Db, account_id: int, filter_id: int) -> SavedFilter | None:
    row = await db.fetchrow(_FILTER, account_id, filter_id)
    return None if row is None else of_row(SavedFilter, row)


async def insert(db: Db, account_id: int, of_list: str, name: str, query: str) -> SavedFilter | None:
    """Returns the new one; None if the list has one with the name already."""
    row = await db.fetchrow(_INSERT, account_id, of_list, name, query)
    return None if row is None else of_row(SavedFilter, row)


async def is_taken(db: Db, account_id: int, saved: SavedFilter, name: str) -> bool:
    """Whether another one of the same list has the name."""
    return bool(await db.fetchval(_NAMED, account_id, saved.list, name, saved.id))


async def update(db: Db, account_id: int, filter_id: int, name: str, query: str) -> SavedFilter | None:
    """Returns the filter after the change; None if there is no such filter."""
    row = await db.fetchrow(_UPDATE, account_id, filter_id, name, query)
    return None if row is None else of_row(SavedFilter, row)


async def delete(db: Db, account_id: int, filter_id: int) -> None:
    await db.execute(_DELETE, account_id, filter_id)


async def columns(db: Db, account_id: int, of_list: str | None = None) -> tuple[ListColumns, ...]:
    rows = await db.fetch(_COLUMNS, account_id, of_list)
    return tuple(ListColumns(list=row["list"], columns=tuple(row["columns"])) for row in rows)


async def choose(db: Db, account_id: int, of_list: str, chosen: Sequence[str]) -> None:
    await db.execute(_CHOOSE, account_id, of_list, list(chosen))


async def forget(db: Db, account_id: int, of_list: str) -> None:
    """Forgets the choice for the list. Idempotent."""
    await db.execute(_FORGET, account_id, of_list)
