"""SQL of the public SSH keys of accounts."""

from __future__ import annotations

from regiond.accounts.model import SshKey
from regiond.accounts.ssh_public_key import PublicKey
from regiond.db.pool import Db

# The lock makes concurrent requests of one user respect the limit.
_LOCK_ACCOUNT = "select from account where id = $1 for no key update"
_COUNT = "select count(*) from ssh_key where account_id = $1"
_INSERT = """
    insert into ssh_key (account_id, key, fingerprint) values ($1, $2, $3)
    on conflict (account_id, fingerprint) do nothing
    returning id, key, fingerprint, created_at
"""
_LIST = "select id, key, fingerprint, created_at from ssh_key where account_id = $1 order by id"
_OF_USER = "select key from ssh_key join account on account.id = account_id where username = $1 order by ssh_key.id"
_READ = "select id, key, fingerprint, created_at from ssh_key where account_id = $1 and id = $2"
_DELETE = "delete from ssh_key where account_id = $1 and id = $2"


async def count(db: Db, account_id: int) -> int:
    """Returns the number of keys, to which nobody else adds one until the end of the transaction."""
    await db.execute(_LOCK_ACCOUNT, account_id)
    return int(await db.fetchval(_COUNT, account_id))


async def insert(db: Db, account_id: int, key: PublicKey) -> SshKey | None:
    """Returns the stored key; None if the account has it already."""
    row = await db.fetchrow(_INSERT, account_id, key.text, key.fingerprint)
    return None if row is None else SshKey(**row)


async def list_keys(db: Db, account_id: int) -> tuple[SshKey, ...]:
    return tuple(SshKey(**row) for row in await db.fetch(_LIST, account_id))


async def ssh_keys_of_user(db: Db, username: str) -> tuple[str, ...]:
    """Returns the public keys of the user, as OpenSSH writes them; empty for an unknown one."""
    return tuple(row["key"] for row in await db.fetch(_OF_USER, username))


async def read(db: Db, account_id: int, key_id: int) -> SshKey | None:
    row = await db.fetchrow(_READ, account_id, key_id)
    return None if row is None else SshKey(**row)


async def delete(db: Db, account_id: int, key_id: int) -> None:
    await db.execute(_DELETE, account_id, key_id)
