"""After a restore of the database: whose a machine is stays open until its host, or a person, shows that.

The ledger of a backup does not know who has used a machine since. Until that is shown, nobody gets the machine, nothing
is written over its disks, and its former owner cannot open it.
"""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from regiond.db.pool import Db, of_row
from regiond.events.model import Level
from regiond.events.service import Events

UNPROVEN = "machine_use_unproven"
CONFIRMED = "machine_use_confirmed"
_GENERATIONS_FROM = 27  # the migration since which hosts have the generation of each use

# A backup of a release without generations has nothing that hosts could be compared with.
_DOUBT = """
    with known as (select case when applied_at > $1 then -1 end as nothing from schema_migration where number = $2),
         detached as (update detached_machine set unproven_since = clock_timestamp(),
                                                  generation = coalesce((select nothing from known), generation))
    update machine set unproven_since = clock_timestamp(),
                       generation = coalesce((select nothing from known), generation)
     where host_id is not null
"""
# A use that began since the backup has a higher generation on the host.
_PROVEN = """
    update machine m set unproven_since = null
      from guest g
     where m.host_id = $1 and m.unproven_since is not null and g.machine_id = m.id and g.generation <= m.generation
"""
_UNPROVEN = """
    select m.system_id, m.hostname, h.name as host_name
      from machine m join vm_host h on h.id = m.host_id
     where m.host_id = $1 and m.unproven_since is not null and m.state <> 'missing' order by m.hostname
"""
# What nobody owned was used by somebody whom the ledger does not know.
_CONFIRM = """
    update machine m
       set unproven_since = null, generation = greatest(m.generation, 0, g.generation),
           is_stock = m.is_stock and coalesce(g.generation <= m.generation, false),
           composed_by_id = case when m.owner_id is not null or g.generation <= m.generation
                                 then m.composed_by_id end
      from (select id from machine where id = $1) one left join guest g on g.machine_id = one.id
     where m.id = one.id and m.unproven_since is not null
    returning m.system_id, m.hostname, m.host_id
"""


@frozen(kw_only=True)
class _Unproven:
    system_id: str
    hostname: str
    host_name: str


async def doubt_uses(db: Db, at: datetime) -> None:
    """Records, in a database that shows the moment `at`, that each machine may have been used since."""
    await db.execute(_DOUBT, at, _GENERATIONS_FROM)


async def prove_uses(db: Db, host_id: int) -> None:
    """Ends the doubt about those machines of which the refresh of the host shows that nobody has used them since.

    Records an event for each other one. Idempotent, but for the events.
    """
    await db.execute(_PROVEN, host_id)
    for one in (of_row(_Unproven, row) for row in await db.fetch(_UNPROVEN, host_id)):
        message = (
            f"{one.hostname} on {one.host_name} was used since the moment to which the database was restored, or may "
            "have been. Nobody gets it, and its owner cannot open it, until a person confirms whose it is: innkeeper "
            "region check"
        )
        await Events.record(db, UNPROVEN, message, level=Level.WARNING, host_id=host_id, system_id=one.system_id)


async def confirm_use(db: Db, machine_id: int) -> bool:
    """Ends the doubt about the machine as a person, or its host, has shown; False if there is none.

    A machine with an owner is that user's. Another one that was used since is in use, of administrators alone.
    """
    row = await db.fetchrow(_CONFIRM, machine_id)
    if row is None:
        return False
    message = f"It was confirmed whose {row['hostname']} is, after the database was restored"
    await Events.record(db, CONFIRMED, message, host_id=row["host_id"], system_id=row["system_id"])
    return True
