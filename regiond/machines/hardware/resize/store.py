"""SQL of the sizes of machines."""

from __future__ import annotations

from common.errors import NotFound
from common.guests.sizes import GuestSize
from regiond.db.pool import Db, of_row
from regiond.ledger import machine_claims
from regiond.ledger.model import DiscreteResources
from regiond.machines.hardware.resize.model import Sizing

_SIZING = """
    select cores, memory_mib, pending_cores, pending_memory_mib,
           coalesce(owner_id, composed_by_id) as account_id, pool_id
      from machine where id = $1
"""
_SET_PENDING = """
    update machine
       set pending_cores = nullif($2::integer, cores), pending_memory_mib = nullif($3::bigint, memory_mib),
           size_refused = '', size_refused_at = null
     where id = $1
"""


async def read(db: Db, machine_id: int) -> Sizing:
    """Raises NotFound for a machine that was deleted."""
    row = await db.fetchrow(_SIZING, machine_id)
    if row is None:
        raise NotFound("The machine was deleted.")
    held = (await machine_claims.claims_of_machine(db, machine_id)).discrete
    bound = DiscreteResources(pinned_core_ids=held.pinned_core_ids, huge_pages=held.huge_pages)
    return of_row(Sizing, row, bound=bound)


async def set_pending(db: Db, machine_id: int, wanted: GuestSize) -> None:
    """Records what the machine has after its next start, which no start has been refused yet."""
    await db.execute(_SET_PENDING, machine_id, wanted.cores, wanted.memory_mib)
