"""SQL for the order in which simulated guests try their devices. The caller owns the transaction.

As with LXD, a running guest gets another order when it is next stopped or started.
"""

from __future__ import annotations

import sqlite3

from common.boot import (
    BootDevice,
    BootOnce,
    BootOrder,
    BootOrders,
    begins_with,
    completed,
    joined,
    missing_text,
    parsed,
)
from common.errors import WrongState
from common.values import Guest, PowerState

_SET = """
    insert into boot_order (guest_id, devices, pending) values (:guest_id, :devices, :pending)
        on conflict (guest_id) do update set devices = :devices, pending = :pending
"""
_APPLY_PENDING = """
    update boot_order set devices = coalesce(pending, devices), pending = null, once = null, once_key = null
     where guest_id = ?
"""
_SET_ONCE = """
    insert into boot_order (guest_id, once, once_key) values (:guest_id, :once, :key)
        on conflict (guest_id) do update set once = :once, once_key = :key
"""


def order_of(row: sqlite3.Row, *, has_disks: bool, has_nics: bool) -> BootOrder:
    """Returns the order of a guest's row: until one is set, the network comes first before a deployment."""
    usual = (BootDevice.DISK, BootDevice.NETWORK) if row["is_deployed"] else (BootDevice.NETWORK, BootDevice.DISK)
    has = {BootDevice.DISK: has_disks, BootDevice.NETWORK: has_nics, BootDevice.ISO: bool(row["iso"])}
    return tuple(one for one in completed(parsed(row["devices"] or ""), (*usual, BootDevice.ISO)) if has[one])


def set_order(db: sqlite3.Connection, guest: Guest, order: BootOrder, *, check_only: bool) -> BootOrders:
    """Returns the orders then. Raises WrongState without a device of a named kind."""
    check(guest, order)
    present, pending = guest.boot_order or (), guest.pending_boot_order
    if not check_only:
        wanted = completed(order, present)
        if guest.power is PowerState.OFF:
            present, pending = wanted, ()
        else:
            pending = () if begins_with(present, order) else wanted
        texts = {"devices": joined(present), "pending": joined(pending) or None}
        db.execute(_SET, {"guest_id": guest.guest_id, **texts})
    return BootOrders(order=present, pending=pending, runs=guest.power is not PowerState.OFF)


def check(guest: Guest, order: BootOrder) -> None:
    missing = [one for one in order if one not in (guest.boot_order or ())]
    if missing:
        raise WrongState(missing_text(guest.name, missing), name=guest.name)


def apply_pending(db: sqlite3.Connection, guest_id: str) -> None:
    """The guest is off: what was pending is its order, and that for one start is over."""
    db.execute(_APPLY_PENDING, (guest_id,))


def boot_once(db: sqlite3.Connection, guest: Guest, once: BootOnce) -> None:
    """The start that follows is in this order. Raises WrongState without a device of a named kind."""
    check(guest, once.order)
    db.execute(_SET_ONCE, {"guest_id": guest.guest_id, "once": joined(once.order), "key": once.key})


def forget(db: sqlite3.Connection, guest_id: str) -> None:
    """The guest boots as it was composed, or from the image that is on its root disk: nothing is chosen any more."""
    db.execute("delete from boot_disk where guest_id = ?", (guest_id,))
    db.execute("delete from boot_order where guest_id = ?", (guest_id,))
