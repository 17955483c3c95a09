"""SQL that selects registrations whose record or whose machine is gone."""

from __future__ import annotations

from regiond.db.pool import Db, of_row
from regiond.maas.bridge.model import MADE_WITHIN_S
from regiond.maas.reconciliation.detection import RegistrationFacts

# A registration on which an operation acts is about to change. One of a machine that is gone is named by its request.
# While MAAS may still make a record that was asked for, the watch looks for it by the registration.
_SUSPECTS = """
    select r.id, r.machine_id, r.system_id, r.hostname, s.name as server, r.maas_system_id, r.missing_since,
           r.created_at as since, m.host_id, h.name as host_name
      from maas_registration r join maas_server s on s.id = r.server_id
      left join machine m on m.id = r.machine_id left join vm_host h on h.id = m.host_id
     where (r.machine_id is null or r.missing_since is not null)
       and not exists (select from operation o
                        where o.is_open and (o.machine_id = r.machine_id or o.request ->> 'registration' = r.power_id))
       and not (r.machine_id is null and r.maas_system_id is null
                and coalesce(r.asked_at, r.created_at) >= clock_timestamp() - make_interval(secs => $2))
       and ($1::integer is null or r.id = $1)
     order by r.id
"""


async def suspects(db: Db, registration_id: int | None = None) -> tuple[RegistrationFacts, ...]:
    """Returns all of them, or only the one with this id."""
    return tuple(of_row(RegistrationFacts, row) for row in await db.fetch(_SUSPECTS, registration_id, MADE_WITHIN_S))
