"""Baseline for a page of machines: reads all machines, then filters, sorts and cuts in Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regiond.db.pool import Db

_MACHINES = """
    select m.*, h.name as host_name, h.system_id as host_system_id, z.name as zone_name, p.name as pool_name
      from machine m join zone z on z.id = m.zone_id join resource_pool p on p.id = m.pool_id
      left join vm_host h on h.id = m.host_id
"""
_DISKS = "select d.*, s.name as pool_name from machine_disk d join storage_pool s on s.id = d.storage_pool_id"
_NICS = "select * from machine_nic"


async def all_machines(db: Db) -> list[dict[str, Any]]:
    """Returns every machine with its disks and NICs as plain values."""
    disks: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in await db.fetch(_DISKS):
        disks[row["machine_id"]].append(dict(row))
    nics: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in await db.fetch(_NICS):
        nics[row["machine_id"]].append(dict(row))
    rows = await db.fetch(_MACHINES)
    return [{**dict(row), "disks": disks[row["id"]], "nics": nics[row["id"]]} for row in rows]


async def page(db: Db, *, hosts: Collection[str], size: int) -> list[dict[str, Any]]:
    """Returns the first `size` machines of these hosts, by host name."""
    found = [machine for machine in await all_machines(db) if machine["host_name"] in hosts]
    return sorted(found, key=lambda machine: str(machine["hostname"]))[:size]
