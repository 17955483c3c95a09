"""SQL for what a machine boots from: its boot disk, its drive, and the order of its kinds of devices."""

from __future__ import annotations

from common.boot import BootDevice, BootOrder, BootOrders, IsoState
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
_SET_ORDER = "update guest set boot_order = $2, pending_boot_order = $3 where machine_id = $1"
_APPLY_PENDING = """
    update guest set boot_order = pending_boot_order, pending_boot_order = '{}'
     where machine_id = $1 and pending_boot_order <> '{}'
"""
_SET_ONCE = """
    update machine set boot_once = $2, boot_once_key = case when $2::text[] = '{}' then null else $3 end where id = $1
"""
_SET_ISO = "update guest set iso = $2, next_iso = nullif($3, $2) where machine_id = $1"
_END_ONCE = "update machine set boot_once = '{}', boot_once_key = null where id = $1 and boot_once_key = $2"
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


async def boot_from_first(db: Db, machine_id: int, *, deployed: bool) -> None:
    """Records that the first disk boots, before the network if the machine is `deployed`, and after it as composed.

    What was chosen for one start is forgotten. Idempotent.
    """
    await db.execute(_FIRST, machine_id)
    await db.execute(_SET_ONCE, machine_id, [], None)
    usual = (BootDevice.DISK, BootDevice.NETWORK) if deployed else (BootDevice.NETWORK, BootDevice.DISK)
    await db.execute(_SET_ORDER, machine_id, [one.value for one in usual], [])


async def record_order(db: Db, machine_id: int, orders: BootOrders) -> None:
    """Records what the guest boots from, as its host has just reported."""
    await db.execute(
        _SET_ORDER, machine_id, [one.value for one in orders.order], [one.value for one in orders.pending]
    )  # fmt: skip
    await settle(db, machine_id)


async def apply_pending(db: Db, machine_id: int) -> None:
    """Records that the guest was off, so that the order that was pending is its order. Idempotent."""
    await db.execute(_APPLY_PENDING, machine_id)


async def record_iso(db: Db, machine_id: int, state: IsoState) -> None:
    """Records what is in the drive of the guest, as its host has just reported."""
    await db.execute(_SET_ISO, machine_id, state.now, state.after)
    await settle(db, machine_id)


async def set_once(db: Db, machine_id: int, order: BootOrder, key: str) -> None:
    """Records the order for the next start; empty: that one is as all others."""
    await db.execute(_SET_ONCE, machine_id, [one.value for one in order], key)


async def end_once(db: Db, machine_id: int, key: str) -> None:
    """Records that the machine was started in the order of this key. Idempotent."""
    await db.execute(_END_ONCE, machine_id, key)


async def settle(db: Db, machine_id: int) -> None:
    await db.execute(_SETTLE, machine_id)
