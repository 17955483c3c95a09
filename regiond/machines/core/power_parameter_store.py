"""SQL for the parameters by which a person reaches a guest with the hypervisor's own tools; no secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.values import DriverType
from regiond.db.pool import Db

_PARAMETERS = """
    select m.system_id, coalesce(h.driver, '') as driver, h.address, h.project, coalesce(g.name, m.hostname) as name
      from machine m
      left join vm_host h on h.id = m.host_id
      left join guest g on g.machine_id = m.id
     where $1::text[] = '{}' or m.system_id = any($1)
     order by m.id
"""


async def power_parameters(db: Db, system_ids: Sequence[str] = ()) -> Mapping[str, Mapping[str, str]]:
    """Returns the parameters by system id, with MAAS's keys: the host's address, the guest's name there, its project.

    Reads these machines, or all without ids, by one query. A machine on no host has none; unknown ids are left out.
    """
    rows = await db.fetch(_PARAMETERS, list(system_ids))
    return {row["system_id"]: _of(row["driver"], row["address"], row["project"], row["name"]) for row in rows}


def _of(driver: str, address: str | None, project: str | None, name: str) -> Mapping[str, str]:
    if address is None:
        return {}
    found = {"power_address": address}
    if driver == DriverType.LIBVIRT:
        return {**found, "power_id": name}
    return {**found, "instance_name": name, "project": project or ""}
