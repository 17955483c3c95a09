"""SQL that selects suspect claims and addresses, and the resources that a machine should claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg
from attrs import frozen

from regiond.db.pool import Db
from regiond.hosts.guest_record import GuestRecord
from regiond.reconciler.claims.detection import GuestClaims, OrphanedClaim, SuspectAddress

_GUEST_CLAIMS = """
    with held as (
        select guest_id,
               coalesce(sum(amount) filter (where resource = 'cores'), 0)::bigint as cores,
               coalesce(sum(amount) filter (where resource = 'memory_mib'), 0)::bigint as memory_mib,
               bool_or(resource = 'huge_pages') as huge_pages
          from claim where guest_id is not null and ($1::integer is null or guest_id = $1) group by guest_id
    )
    select g.id, g.name, h.id as host_id, h.name as host_name, g.cores, g.memory_mib,
           coalesce(held.cores, 0) as claimed_cores, coalesce(held.memory_mib, 0) as claimed_memory_mib,
           coalesce(held.huge_pages, false) as claims_huge_pages
      from guest g left join held on held.guest_id = g.id
      left join lateral (select id, name from vm_host h
                          where h.server_id = g.server_id and (h.driver <> 'lxd' or h.project = g.project)
                          order by id limit 1) h on true
     where g.machine_id is null and ($1::integer is null or g.id = $1)
       and (coalesce(held.cores, 0) <> g.cores
            or (not coalesce(held.huge_pages, false) and coalesce(held.memory_mib, 0) <> g.memory_mib))
     order by g.id
"""
_ORPHANED_CLAIMS = """
    select c.server_id, h.id as host_id, h.name as host_name, c.machine_id, c.guest_id,
           coalesce(min(m.hostname), min(g.name)) as holder, min(m.system_id) as system_id,
           string_agg(c.resource || coalesce(' ' || c.key, '') || ' ' || c.amount, ', '
                      order by c.resource, c.key, c.amount) as amounts
      from claim c
      left join machine m on m.id = c.machine_id
      left join vm_host mh on mh.id = m.host_id
      left join guest g on g.id = c.guest_id
      left join lateral (select id, name from vm_host h where h.server_id = c.server_id order by id limit 1) h on true
     where ($1::integer is null or c.server_id = $1)
       and ((c.machine_id is not null and mh.server_id is distinct from c.server_id
             and not exists (select from operation o
                              where o.machine_id = c.machine_id
                                and o.is_open))
            or (c.guest_id is not null and (g.server_id is distinct from c.server_id or g.machine_id is not null)))
     group by c.server_id, h.id, h.name, c.machine_id, c.guest_id
     order by c.server_id, c.machine_id, c.guest_id
"""
_ADDRESSES = """
    select a.id, host(a.address) as address, coalesce(s.cidr::text, 'no subnet') as subnet,
           coalesce(a.address <<= s.cidr, false) as inside, coalesce(m.hostname, d.hostname) as hostname, m.system_id,
           a.nic_id is null or n.id is not null as has_nic, h.id as host_id, h.name as host_name
      from ip_address a
      left join subnet s on s.id = a.subnet_id
      left join machine m on m.id = a.machine_id
      left join machine_nic n on n.id = a.nic_id and n.machine_id = a.machine_id
      left join device_nic dn on dn.id = a.device_nic_id
      left join device d on d.id = dn.device_id
      left join vm_host h on h.id = m.host_id
     where ((m.id is null and a.device_nic_id is null) or (a.nic_id is not null and n.id is null)
            or (a.address <<= s.cidr) is not true)
       and ($1::integer is null or a.id = $1)
     order by a.id
"""
_SERVERS_OF_CLAIMS = """
    select server_id from claim where machine_id = $1 or guest_id = $2
    union
    select p.server_id from claim c join storage_pool p on p.id = c.storage_pool_id
     where c.machine_id = $1 or c.guest_id = $2
"""
_DROP_CLAIMS = "delete from claim where server_id = $1 and (machine_id = $2 or guest_id = $3)"
_MACHINE = """
    select m.hostname, m.architecture, m.power_state, m.cores, m.memory_mib, m.pinned_core_ids, m.huge_page_size_kib,
           coalesce(g.project, h.project) as project, coalesce(g.huge_pages_backed, false) as huge_pages_backed
      from machine m join vm_host h on h.id = m.host_id
      left join guest g on g.machine_id = m.id and g.server_id = h.server_id
     where m.id = $1
"""
_NICS = "select kind, source from machine_nic where machine_id = $1 order by index"
# The space of the guest's disks where the last refresh found them, without those that another guest counts; without a
# guest, the space of the machine's disks.
_DISKS = """
    select storage_pool_id, sum(size_bytes)::bigint as size_bytes
      from (select p.id as storage_pool_id, f.size_bytes
              from guest g, jsonb_to_recordset(g.disks) f (pool_id text, size_bytes bigint, shared boolean),
                   storage_pool p
             where g.machine_id = $1 and g.server_id = $2 and p.server_id = $2 and p.pool_key = f.pool_id
               and f.shared is not true
            union all
            select p.id, d.size_bytes
              from machine_disk d join storage_pool p on p.id = d.storage_pool_id
             where d.machine_id = $1 and p.server_id = $2
               and not exists (select from guest g where g.machine_id = $1 and g.server_id = $2)
            union all
            select d.storage_pool_id, d.pending_size_bytes - d.size_bytes
              from machine_disk d join storage_pool p on p.id = d.storage_pool_id
             where d.machine_id = $1 and p.server_id = $2 and d.pending_size_bytes is not null
            union all
            select d.second_storage_pool_id, greatest(d.size_bytes, d.pending_size_bytes)
              from machine_disk d join storage_pool p on p.id = d.second_storage_pool_id
             where d.machine_id = $1 and p.server_id = $2) disk
     group by storage_pool_id order by storage_pool_id
"""
_LOCK_ADDRESS = "select 1 from ip_address where id = $1 for update"
_DROP_ADDRESS = "delete from ip_address where id = $1"


@frozen(kw_only=True)
class MachineResources:
    """The resources that a machine uses according to its own rows; its storage according to its guest, if it has one.

    `row` has the form in which a discovery run finds the machine's guest.
    """

    row: GuestRecord
    huge_page_size_kib: int | None
    storage_bytes: Mapping[int, int]  # by storage pool (row id)


async def wrong_guest_claims(db: Db, guest_id: int | None = None) -> tuple[GuestClaims, ...]:
    """Returns guests that are no machine and whose claims differ from their size."""
    return tuple(GuestClaims(**dict(row)) for row in await db.fetch(_GUEST_CLAIMS, guest_id))


async def orphaned_claims(db: Db, server_id: int | None = None) -> tuple[OrphanedClaim, ...]:
    """Returns the orphaned claims, one value for each server and holder."""
    return tuple(OrphanedClaim(**dict(row)) for row in await db.fetch(_ORPHANED_CLAIMS, server_id))


async def wrong_addresses(db: Db, address_id: int | None = None) -> tuple[SuspectAddress, ...]:
    return tuple(SuspectAddress(**dict(row)) for row in await db.fetch(_ADDRESSES, address_id))


async def servers_of_claims(db: Db, *, machine_id: int | None = None, guest_id: int | None = None) -> set[int]:
    """Returns the ids of the servers on which the holder claims anything, including storage pools."""
    return {row["server_id"] for row in await db.fetch(_SERVERS_OF_CLAIMS, machine_id, guest_id)}


async def drop_claims(db: Db, server_id: int, *, machine_id: int | None, guest_id: int | None) -> None:
    """Removes the holder's claims on this server. The caller recomputes the totals. Idempotent."""
    await db.execute(_DROP_CLAIMS, server_id, machine_id, guest_id)


async def read_resources(db: Db, machine_id: int, server_id: int) -> MachineResources:
    """Returns the resources of the machine, which exists because the caller has locked it or its server."""
    machine = await db.fetchrow(_MACHINE, machine_id)
    if machine is None:
        raise RuntimeError(f"machine {machine_id} was deleted while its server was locked")
    nics = tuple(dict(row) for row in await db.fetch(_NICS, machine_id))
    storage = {row["storage_pool_id"]: row["size_bytes"] for row in await db.fetch(_DISKS, machine_id, server_id)}
    size_kib: int | None = machine["huge_page_size_kib"]
    return MachineResources(row=_row(machine_id, machine, nics), huge_page_size_kib=size_kib, storage_bytes=storage)


async def lock_address(db: Db, address_id: int) -> None:
    await db.execute(_LOCK_ADDRESS, address_id)


async def drop_address(db: Db, address_id: int) -> None:
    await db.execute(_DROP_ADDRESS, address_id)


def _row(machine_id: int, machine: asyncpg.Record, nics: tuple[Mapping[str, Any], ...]) -> GuestRecord:
    return GuestRecord(
        project=machine["project"] or "",
        guest_key=f"machine {machine_id}",
        name=machine["hostname"],
        marker_installation=None,
        marker_machine=None,
        machine_id=machine_id,
        power_state=machine["power_state"],
        cores=machine["cores"],
        memory_mib=machine["memory_mib"],
        architecture=machine["architecture"],
        pinned_core_ids=tuple(machine["pinned_core_ids"]),
        huge_pages_backed=machine["huge_pages_backed"] or machine["huge_page_size_kib"] is not None,
        disks=(),
        nics=nics,
    )
