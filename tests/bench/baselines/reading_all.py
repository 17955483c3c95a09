"""Baseline for placement: reads all hosts with their storage pools, and evaluates each in Python.

Chooses as placement's `spread` does, for a machine with cores, memory and one disk on any network of the host.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from regiond.db.pool import Db, Row

_HOSTS = """
    select h.id, h.name, h.server_id, h.pool_id, h.zone_id, h.cpu_over_commit_ratio, h.memory_over_commit_ratio,
           h.default_storage_pool_id, h.reserved_cores, h.reserved_memory_mib, s.architecture, s.cores, s.memory_mib,
           s.huge_memory_mib, s.cores_claimed, s.memory_mib_claimed
      from vm_host h join server s on s.id = h.server_id
     where h.state = 'ready' and exists (select from rack_reach r where r.host_id = h.id and r.reaches)
"""
_ONE_HOST = _HOSTS + " and h.id = $1"
_POOLS = """
    select id, server_id, total_bytes - used_elsewhere_bytes - claimed_bytes as free_bytes
      from storage_pool where missing_since is null order by id
"""
_POOLS_OF_ONE = """
    select p.id, p.server_id, p.total_bytes - p.used_elsewhere_bytes - p.claimed_bytes as free_bytes
      from storage_pool p join vm_host h on h.server_id = p.server_id
     where p.missing_since is null and h.id = $1 order by p.id
"""
_SOURCES = "select host_id, name, kind from host_interface where attachable and active and missing_since is null"


@frozen(kw_only=True)
class Need:
    cores: int = 1
    memory_mib: int = 1024
    disk_bytes: int = 8 * 10**9


@frozen(kw_only=True)
class Choice:
    """A host that fits, the storage pool for the disk, and the kind and name of the NIC's source."""

    host: Row
    storage_pool_id: int
    nic_source: tuple[str, str]
    headroom: float


async def choose(db: Db, need: Need, *, host_id: int | None = None) -> Choice | None:
    """Returns the host with the largest share left afterwards; ties go to the lower id. None if nothing fits."""
    which = () if host_id is None else (host_id,)
    hosts = await db.fetch(_HOSTS if host_id is None else _ONE_HOST, *which)
    pools: defaultdict[int, list[Row]] = defaultdict(list)
    for pool in await db.fetch(_POOLS if host_id is None else _POOLS_OF_ONE, *which):
        pools[pool["server_id"]].append(pool)
    sources = {row["host_id"]: (row["kind"], row["name"]) for row in await db.fetch(_SOURCES)}
    found = [_evaluated(host, pools[host["server_id"]], sources.get(host["id"]), need) for host in hosts]
    fitting = [choice for choice in found if choice is not None]
    return min(fitting, key=lambda choice: (-choice.headroom, choice.host["id"]), default=None)


def _evaluated(host: Row, pools: list[Row], nic_source: tuple[str, str] | None, need: Need) -> Choice | None:
    cores = int((host["cores"] - host["reserved_cores"]) * host["cpu_over_commit_ratio"] + 1e-6)
    kept_mib = host["huge_memory_mib"] + host["reserved_memory_mib"]
    memory_mib = int((host["memory_mib"] - kept_mib) * host["memory_over_commit_ratio"] + 1e-6)
    cores_left = cores - host["cores_claimed"] - need.cores
    memory_left = memory_mib - host["memory_mib_claimed"] - need.memory_mib
    default = host["default_storage_pool_id"]
    usable = [pool for pool in pools if default in {None, pool["id"]} and pool["free_bytes"] >= need.disk_bytes]
    if cores_left < 0 or memory_left < 0 or not usable or nic_source is None:
        return None
    headroom = round(min(cores_left / cores, memory_left / memory_mib), 6)
    return Choice(host=host, storage_pool_id=usable[0]["id"], nic_source=nic_source, headroom=headroom)
