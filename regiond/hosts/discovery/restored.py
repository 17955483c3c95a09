"""Marks the hosts of a restored database: none takes a machine before a refresh has shown what is there."""

from __future__ import annotations

from regiond.db.pool import Db

CODE = "not_refreshed"
_MARK = """
    update vm_host set state = 'unreachable', error_code = $1, error_message = $2, error_details = null
     where state <> 'pending'
"""
_REFRESH_NOW = "update vm_host_schedule set next_refresh_at = now(), failures = 0"
_HOSTS = "select count(*) from vm_host"


async def await_refreshes(db: Db, how: str) -> int:
    """Makes the refresh of every host due, and returns the number of hosts.

    `how` the database was restored: such as `from a backup of 2026-11-25 12:00 UTC`. A host whose removal was
    ended with it is a host as before.
    """
    message = (
        f"The database was restored {how}, and this host was not refreshed since. It takes no VM before its refresh."
    )
    await db.execute(_MARK, CODE, message)
    await db.execute(_REFRESH_NOW)
    hosts: int = await db.fetchval(_HOSTS)
    return hosts
