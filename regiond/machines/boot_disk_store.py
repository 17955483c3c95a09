"""SQL for the disk from which a machine boots first."""

from __future__ import annotations

from regiond.db.pool import Db

_CHOOSE = """
    update machine_disk set boots = (id = $2)
     where machine_id = $1 and boots <> (id = $2)
       and exists (select from machine_disk where id = $2 and machine_id = $1)
"""
_RESTORE = """
    update machine_disk d set boots = (d.id = $3)
     where d.machine_id = $1 and d.boots <> (d.id = $3)
       and exists (select from machine_disk chosen where chosen.id = $2 and chosen.machine_id = $1 and chosen.boots)
"""
_FIRST = "update machine_disk set boots = false where machine_id = $1 and boots"
_LISTED = """
    select d.id from machine_disk d join storage_pool p on p.id = d.storage_pool_id
     where d.machine_id = $1 and p.pool_key = $2 and d.volume = $3
"""
# The report of a discovery run that began earlier no longer counts.
_SETTLE = "update machine set settled_at = clock_timestamp() where id = $1"


async def choose(db: Db, machine_id: int, disk_id: int) -> None:
    """Records the disk as the one that boots first. Changes nothing for a disk that the machine no longer has."""
    await db.execute(_CHOOSE, machine_id, disk_id)


async def restore(db: Db, machine_id: int, disk_id: int, before_id: int) -> None:
    """Records `before_id` again, if `disk_id` still is the choice."""
    await db.execute(_RESTORE, machine_id, disk_id, before_id)


async def choose_listed(db: Db, machine_id: int, pool_key: str, volume: str) -> None:
    """Records the disk that the host reports."""
    disk_id = await db.fetchval(_LISTED, machine_id, pool_key, volume)
    if disk_id is not None:
        await choose(db, machine_id, disk_id)


async def boot_from_first(db: Db, machine_id: int) -> None:
    """Records that the first disk boots, as after compose. Idempotent."""
    await db.execute(_FIRST, machine_id)


async def settle(db: Db, machine_id: int) -> None:
    await db.execute(_SETTLE, machine_id)
