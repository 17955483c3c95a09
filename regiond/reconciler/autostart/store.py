"""SQL that selects the machines whose guest may start with its host against their setting."""

from __future__ import annotations

import asyncpg

from common.values import Autostart, PowerState
from regiond.db.pool import Db, of_row
from regiond.reconciler.autostart.detection import AutostartFacts

# Repeats `Autostart.is_in_effect` in SQL, so that 50,000 machines are not read. Uses only discovery runs that began
# after the last operation, because a flag follows the power state. A guest that was just powered off may be on a host
# that is shutting down while libvirt still answers: its flag stays for an hour, so that the guest runs again later. The
# flag also stays for an hour after the host is reachable again: a late storage pool may delay the start of the guest.
_SUSPECTS = """
    select m.id, m.system_id, m.hostname, m.power_state as power, h.id as host_id, h.name as host_name,
           wanted.autostart, g.autostart as reported
      from machine m join vm_host h on h.id = m.host_id join guest g on g.machine_id = m.id
      join vm_host_schedule s on s.host_id = h.id and s.run_began_at > m.settled_at,
           installation i,
           lateral (select coalesce(m.autostart, case when not m.adopted and not m.imported
                                                  then coalesce(h.autostart, i.autostart) end) as autostart) wanted
     where g.autostart <> wanted.autostart and g.power_state = m.power_state
       and not (wanted.autostart = 'last-state'
                and g.autostart = case m.power_state when 'off' then 'never' else 'always' end)
       and not (wanted.autostart = 'last-state' and m.power_state = 'off'
                and (m.power_changed_at > now() - interval '1 hour'
                     or h.id in (select e.host_id from event e
                                  where e.kind = 'host_back' and e.at > now() - interval '1 hour')))
       and h.state = 'ready'
       and m.state in ('ready', 'allocated', 'deployed', 'failed_deployment', 'failed', 'broken')
       and not exists (select from operation o
                        where o.is_open
                          and (o.machine_id = m.id or (o.kind = 'remove_host' and o.host_id = h.id)))
       and ($1::integer is null or m.id = $1)
     order by m.id
"""


async def wrong_autostarts(db: Db, machine_id: int | None = None) -> tuple[AutostartFacts, ...]:
    """Returns all machines whose guest has another setting than they have, or only the machine with `machine_id`."""
    return tuple(_facts(row) for row in await db.fetch(_SUSPECTS, machine_id))


def _facts(row: asyncpg.Record) -> AutostartFacts:
    return of_row(
        AutostartFacts,
        row,
        power=PowerState(row["power"]),
        autostart=Autostart(row["autostart"]),
        reported=Autostart(row["reported"]),
    )
