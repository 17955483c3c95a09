"""SQL of machines that may have been used since the database was restored."""

from __future__ import annotations

from regiond.db.pool import Db, of_row
from regiond.reconciler.uses.detection import UnprovenMachine

_UNPROVEN = """
    select m.id, m.system_id, m.hostname, h.id as host_id, h.name as host_name, a.username as owner, m.generation,
           g.generation as on_host, m.unproven_since
      from machine m join vm_host h on h.id = m.host_id join guest g on g.machine_id = m.id
      join vm_host_schedule v on v.host_id = h.id and v.refreshed_at > m.unproven_since
      left join account a on a.id = m.owner_id
     where m.unproven_since is not null
       and ($1::integer is null or m.id = $1)
     order by m.id
"""


async def unproven_machines(db: Db, machine_id: int | None = None) -> tuple[UnprovenMachine, ...]:
    """Returns those on hosts that were refreshed since, or only the one with `machine_id`. Before, their guests are
    those of the backup, which prove nothing.
    """
    return tuple(of_row(UnprovenMachine, row) for row in await db.fetch(_UNPROVEN, machine_id))
