"""Whether a difference is still there: judged anew by whoever mends it, under the locks of what it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiond.reconciler import guests, look_store, machines
from regiond.reconciler.model import Difference

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def of_marked_guest(db: Db, difference: Difference) -> Difference | None:
    """As `Difference.again`; its key names a guest that carries our mark."""
    found = await look_store.marked_guests(db, difference.number_of("guest"))
    return difference.again(guests.judge(guest) for guest in found)


async def of_machine(db: Db, difference: Difference) -> Difference | None:
    """As `Difference.again`; its key names a machine."""
    found = await look_store.machines(db, difference.number_of("machine"))
    return difference.again(one for facts in found for one in machines.judge(facts))
