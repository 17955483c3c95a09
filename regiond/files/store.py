"""SQL of the files of users."""

from __future__ import annotations

from uuid import UUID

from regiond.db.pool import Db, Row
from regiond.files.model import FileWithContent, StoredFile

# The lock makes concurrent requests of one user respect the limit.
_LOCK_ACCOUNT = "select from account where id = $1 for no key update"
_COUNT_OTHERS = "select count(*) from user_file where account_id = $1 and filename <> $2"
_WRITE = """
    insert into user_file (account_id, filename, content) values ($1, $2, $3)
    on conflict (account_id, filename) do update set content = excluded.content, updated_at = now()
    returning filename, key::text, length(content) as size_bytes, updated_at
"""
_LIST = """
    select filename, key::text, length(content) as size_bytes, updated_at
      from user_file where account_id = $1 and starts_with(filename, $2) order by filename
"""
_READ = """
    select filename, key::text, length(content) as size_bytes, updated_at, content
      from user_file where account_id = $1 and filename = $2
"""
_READ_BY_KEY = """
    select filename, key::text, length(content) as size_bytes, updated_at, content
      from user_file where key = $1
"""
_DELETE = "delete from user_file where account_id = $1 and filename = $2"


async def count_others(db: Db, account_id: int, filename: str) -> int:
    """Returns the number of other files, to which nobody else adds one until the end of the transaction."""
    await db.execute(_LOCK_ACCOUNT, account_id)
    return int(await db.fetchval(_COUNT_OTHERS, account_id, filename))


async def write(db: Db, account_id: int, filename: str, content: bytes) -> StoredFile:
    """Replaces the content of a file with that name, whose key stays."""
    (row,) = await db.fetch(_WRITE, account_id, filename, content)
    return StoredFile(**row)


async def list_files(db: Db, account_id: int, prefix: str) -> tuple[StoredFile, ...]:
    return tuple(StoredFile(**row) for row in await db.fetch(_LIST, account_id, prefix))


async def read(db: Db, account_id: int, filename: str) -> FileWithContent | None:
    return _with_content(await db.fetchrow(_READ, account_id, filename))


async def read_by_key(db: Db, key: UUID) -> FileWithContent | None:
    return _with_content(await db.fetchrow(_READ_BY_KEY, key))


async def delete(db: Db, account_id: int, filename: str) -> bool:
    """Returns whether there was one."""
    return await db.execute(_DELETE, account_id, filename) == "DELETE 1"


def _with_content(row: Row | None) -> FileWithContent | None:
    if row is None:
        return None
    values = dict(row)
    content = values.pop("content")
    return FileWithContent(file=StoredFile(**values), content=content)
