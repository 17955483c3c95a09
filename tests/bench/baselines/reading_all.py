"""The simple way to choose a host: read all of them with what is left of their storage pools, judge each in Python.

It decides as placement's `spread` does for a machine of cores, memory and one disk on any network of the host.
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
    select id, server_id, total_bytes - used_elsewhere_bytes - claimed_bytes as room_bytes
      from storage_pool where missing_since is null order by id
"""
_POOLS_OF_ONE = """
    select p.id, p.server_id, p.total_bytes - p.used_elsewhere_bytes - p.claimed_bytes as room_bytes
      from storage_pool p join vm_host h on h.server_id = p.server_id
     where p.missing_since is null and h.id = $1 order by p.id
"""
_CARDS = "select host_id, name, kind from host_interface where attachable and active and missing_since is null"


@frozen(kw_only=True)
class Need:
    cores: int = 1
    memory_mib: int = 1024
    disk_bytes: int = 8 * 10**9


@frozen(kw_only=True)
class Choice:
    """A host with room, the storage pool for the disk, and what the card is attached to: its kind and name."""

    host: Row
    storage_pool_id: int
    card: tuple[str, str]
    headroom: float


async def choose(db: Db, need: Need, *, host_id: int | None = None) -> Choice | None:
    """The host with the largest share of its room left afterwards, the lower id of two; None where nothing fits."""
    which = () if host_id is None else (host_id,)
    hosts = await db.fetch(_HOSTS if host_id is None else _ONE_HOST, *which)
    pools: defaultdict[int, list[Row]] = defaultdict(list)
    for pool in await db.fetch(_POOLS if host_id is None else _POOLS_OF_ONE, *which):
        pools[pool["server_id"]].append(pool)
    cards = {row["host_id"]: (row["kind"], row["name"]) for row in await db.fetch(_CARDS)}
    found = [_judged(host, pools[host["server_id"]], cards.get(host["id"]), need) for host in hosts]
    fitting = [choice for choice in found if choice is not None]
    return min(fitting, key=lambda choice: (-choice.headroom, choice.host["id"]), default=None)


def _judged(host: Row, pools: list[Row], card: tuple[str, str] | None, need: Need) -> Choice | None:
    cores = int((host["cores"] - host["reserved_cores"]) * host["cpu_over_commit_ratio"] + 1e-6)
    kept_mib = host["huge_memory_mib"] + host["reserved_memory_mib"]
    memory_mib = int((host["memory_mib"] - kept_mib) * host["memory_over_commit_ratio"] + 1e-6)
    cores_left = cores - host["cores_claimed"] - need.cores
    memory_left = memory_mib - host["memory_mib_claimed"] - need.memory_mib
    default = host["default_storage_pool_id"]
    usable = [pool for pool in pools if default in {None, pool["id"]} and pool["room_bytes"] >= need.disk_bytes]
    if cores_left < 0 or memory_left < 0 or not usable or card is None:
        return None
    headroom = round(min(cores_left / cores, memory_left / memory_mib), 6)
    return Choice(host=host, storage_pool_id=usable[0]["id"], card=card, headroom=headroom)
