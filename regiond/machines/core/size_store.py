"""Records the size of a machine, and what it gets at its next start."""

from __future__ import annotations

from common.guests.sizes import GuestSize
from regiond.db.pool import Db
from regiond.ledger import growth
from regiond.ledger.model import DiscreteResources, page_size_kib

# The report of a discovery run that began earlier no longer counts.
_SET_SIZE = """
    update machine set cores = $2, memory_mib = $3, settled_at = clock_timestamp(),
                       pending_cores = nullif($4::integer, $2), pending_memory_mib = nullif($5::bigint, $3)
     where id = $1
"""
_SET_BOUND = "update machine set pinned_core_ids = $2, huge_page_size_kib = $3 where id = $1"
_SET_GUEST_BOUND = "update guest set pinned_core_ids = $2, huge_pages_backed = $3 where machine_id = $1"
_SET_REFUSED = """
    update machine set size_refused = $2, size_refused_at = coalesce(size_refused_at, clock_timestamp())
     where id = $1 and (pending_cores is not null or pending_memory_mib is not null)
"""
_SET_GUEST_SIZE = "update guest set cores = $2, memory_mib = $3 where machine_id = $1"


async def record_size(db: Db, machine_id: int, now: GuestSize, wanted: GuestSize) -> None:
    """Records what the guest has, and what it has after its next start; it claims the larger of both."""
    held = now.or_more(wanted)
    await growth.settle_machine(db, machine_id, cores=held.cores, memory_mib=held.memory_mib)
    await db.execute(_SET_GUEST_SIZE, machine_id, now.cores, now.memory_mib)
    await db.execute(_SET_SIZE, machine_id, now.cores, now.memory_mib, wanted.cores, wanted.memory_mib)


async def record_bound(db: Db, machine_id: int, now: GuestSize, wanted: GuestSize, bound: DiscreteResources) -> None:
    """As `record_size`, with the pinned cores and huge pages that the guest has, which it alone claims then."""
    await db.execute(_SET_GUEST_SIZE, machine_id, now.cores, now.memory_mib)
    await db.execute(_SET_SIZE, machine_id, now.cores, now.memory_mib, wanted.cores, wanted.memory_mib)
    size_kib, core_ids = page_size_kib(bound.huge_pages), list(bound.pinned_core_ids)
    await db.execute(_SET_BOUND, machine_id, core_ids, size_kib)
    await db.execute(_SET_GUEST_BOUND, machine_id, core_ids, size_kib is not None)
    held = now.or_more(wanted)
    memory_mib = 0 if bound.huge_pages else held.memory_mib
    await growth.settle_bound(db, machine_id, cores=held.cores, memory_mib=memory_mib, bound=bound)


async def record_refusal(db: Db, machine_id: int, reason: str) -> None:
    """Records why a start left the size pending. The time is that of the first refusal of this size."""
    await db.execute(_SET_REFUSED, machine_id, reason)
