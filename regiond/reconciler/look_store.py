"""What ledger and hosts say, read for the sweep. SQL only narrows; what is wrong with a row is judged by others.

A host is shown for each server: of those that see the guest's project, the oldest. With an id only that one is looked
at, as who mends it does again.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from attrs import fields

from regiond.machines.life import MachineState
from regiond.reconciler.guests import GuestClaims, MarkedGuest
from regiond.reconciler.ledger import LooseAddress, LooseClaim
from regiond.reconciler.machines import GuestOf, MachineFacts
from regiond.reconciler.operations import OpenOperation, RemovingHost

if TYPE_CHECKING:
    import asyncpg

    from regiond.db.pool import Db

_HOSTS = """
    select distinct on (server_id) server_id, id, name from vm_host where server_id is not null order by server_id, id
"""
_GUESTS = """
    select g.id, g.name, g.marked_machine as mark, h.id as host_id, h.name as host_name, m.system_id, m.hostname,
           mh.name as machine_host, own.name as own_guest,
           exists (select from tombstone t where t.machine_uuid = g.marked_machine) as given_up,
           exists (select from machine_forgotten f where f.uuid = g.marked_machine) as forgotten,
           exists (select from operation o
                    where o.state in ('queued', 'running', 'waiting', 'undoing')
                      and (o.machine_id = m.id
                           or (o.kind = 'clean_up' and o.host_id = h.id
                               and g.marked_machine::text in (o.request #>> '{guest,mark,machine_id}',
                                                              o.request #>> '{copy,mark,machine_id}')))) as busy
      from guest g
      join installation i on i.id = g.marked_installation
      left join lateral (select id, name from vm_host h
                          where h.server_id = g.server_id and (h.driver <> 'lxd' or h.project = g.project)
                          order by id limit 1) h on true
      left join machine m on m.uuid = g.marked_machine
      left join vm_host mh on mh.id = m.host_id
      left join guest own on own.machine_id = m.id
     where g.machine_id is null and g.marked_machine is not null and ($1::integer is null or g.id = $1)
     order by g.id
"""
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
# Only those that something may be wrong with: of 50,000 machines a handful.
_MACHINES = """
    with held as (
        select machine_id,
               coalesce(sum(amount) filter (where resource = 'cores'), 0)::bigint as cores,
               coalesce(sum(amount) filter (where resource = 'memory_mib'), 0)::bigint as memory_mib,
               bool_or(resource = 'huge_pages') as huge_pages
          from claim where machine_id is not null and ($1::integer is null or machine_id = $1) group by machine_id
    )
    select m.id, m.system_id, m.hostname, m.state, m.cores, m.memory_mib, m.pinned_core_ids, m.missing_since,
           h.id as host_id, h.name as host_name, h.cluster_id is not null as clustered,
           coalesce(held.cores, 0) as claimed_cores, coalesce(held.memory_mib, 0) as claimed_memory_mib,
           coalesce(held.huge_pages, false) as claims_huge_pages,
           g.name as guest_name, g.cores as guest_cores, g.memory_mib as guest_memory_mib,
           g.pinned_core_ids as guest_pins,
           g.server_id = h.server_id and (h.driver <> 'lxd' or g.project = h.project) as on_its_host,
           (select gh.name from vm_host gh
             where gh.server_id = g.server_id and (gh.driver <> 'lxd' or gh.project = g.project)
             order by gh.id limit 1) as guest_host
      from machine m
      join vm_host h on h.id = m.host_id
      left join guest g on g.machine_id = m.id
      left join held on held.machine_id = m.id
     where (m.state in ('missing', 'composing', 'adopting', 'releasing', 'deleting') or g.id is null
            or (h.driver = 'lxd' and g.project <> h.project)
            or (g.server_id, g.cores, g.memory_mib, g.pinned_core_ids)
               is distinct from (h.server_id, m.cores, m.memory_mib, m.pinned_core_ids)
            or held.cores is distinct from m.cores
            or (not coalesce(held.huge_pages, false) and held.memory_mib is distinct from m.memory_mib))
       and not exists (select from operation o
                        where o.state in ('queued', 'running', 'waiting', 'undoing')
                          and (o.machine_id = m.id or (o.kind = 'remove_host' and o.host_id = h.id)))
       and ($1::integer is null or m.id = $1)
     order by m.id
"""
_CLAIMS = """
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
                                and o.state in ('queued', 'running', 'waiting', 'undoing')))
            or (c.guest_id is not null and (g.server_id is distinct from c.server_id or g.machine_id is not null)))
     group by c.server_id, h.id, h.name, c.machine_id, c.guest_id
     order by c.server_id, c.machine_id, c.guest_id
"""
_ADDRESSES = """
    select a.id, host(a.address) as address, coalesce(s.cidr::text, 'no subnet') as subnet,
           coalesce(a.address <<= s.cidr, false) as inside, m.hostname, m.system_id,
           n.id is not null as has_card, h.id as host_id, h.name as host_name
      from ip_address a
      left join subnet s on s.id = a.subnet_id
      left join machine m on m.id = a.machine_id
      left join machine_nic n on n.id = a.nic_id and n.machine_id = a.machine_id
      left join vm_host h on h.id = m.host_id
     where (m.id is null or n.id is null or (a.address <<= s.cidr) is not true) and ($1::integer is null or a.id = $1)
     order by a.id
"""
_OPERATIONS = """
    select o.id, o.kind, o.state, o.step, o.host_id, o.host_name, o.system_id, o.hostname, o.lease_until, o.not_before,
           greatest(o.created_at, o.started_at,
                    (select max(l.at) from operation_log l where l.operation_id = o.id),
                    (select max(l.at) from operation child join operation_log l on l.operation_id = child.id
                      where child.parent_id = o.id)) as moved_at,
           exists (select from rack_reach x join rack_link l on l.rack_id = x.rack_id
                     join region_process p on p.id = l.region_id and p.seen_at > now() - interval '30 seconds'
                    where x.host_id = o.host_id and x.reaches)
           and not exists (select from operation other
                            where other.host_id = o.host_id and other.id <> o.id and other.lease_until > now()
                              and other.state in ('queued', 'running', 'waiting', 'undoing')) as could_run,
           exists (select from region_process p
                    where p.id = o.lease_owner and p.seen_at > now() - interval '30 seconds') as owner_lives,
           (select count(*) from region_process p where p.seen_at > now() - interval '30 seconds') as regions
      from operation o
     where o.state in ('queued', 'running', 'waiting', 'undoing') and ($1::bigint is null or o.id = $1)
     order by o.id
"""
_REMOVING = """
    select h.id, h.name from vm_host h
     where h.state = 'removing' and ($1::integer is null or h.id = $1)
       and not exists (select from operation o
                        where o.host_id = h.id and o.kind = 'remove_host'
                          and o.state in ('queued', 'running', 'waiting', 'undoing'))
     order by h.id
"""
_MACHINE_FIELDS = {one.name for one in fields(MachineFacts)}


async def hosts(db: Db) -> dict[int, tuple[int, str]]:
    """Id and name of the host that is shown for a server, by the server's id."""
    return {row["server_id"]: (row["id"], row["name"]) for row in await db.fetch(_HOSTS)}


async def marked_guests(db: Db, guest_id: int | None = None) -> tuple[MarkedGuest, ...]:
    return tuple(MarkedGuest(**dict(row)) for row in await db.fetch(_GUESTS, guest_id))


async def guest_claims(db: Db, guest_id: int | None = None) -> tuple[GuestClaims, ...]:
    return tuple(GuestClaims(**dict(row)) for row in await db.fetch(_GUEST_CLAIMS, guest_id))


async def machines(db: Db, machine_id: int | None = None) -> tuple[MachineFacts, ...]:
    return tuple(_machine(row) for row in await db.fetch(_MACHINES, machine_id))


async def loose_claims(db: Db, server_id: int | None = None) -> tuple[LooseClaim, ...]:
    return tuple(LooseClaim(**dict(row)) for row in await db.fetch(_CLAIMS, server_id))


async def loose_addresses(db: Db, address_id: int | None = None) -> tuple[LooseAddress, ...]:
    return tuple(LooseAddress(**dict(row)) for row in await db.fetch(_ADDRESSES, address_id))


async def open_operations(db: Db, operation_id: int | None = None) -> tuple[OpenOperation, ...]:
    return tuple(OpenOperation(**dict(row)) for row in await db.fetch(_OPERATIONS, operation_id))


async def removing_hosts(db: Db, host_id: int | None = None) -> tuple[RemovingHost, ...]:
    return tuple(RemovingHost(**dict(row)) for row in await db.fetch(_REMOVING, host_id))


async def now(db: Db) -> datetime:
    """The database's clock, which leases go by."""
    found: datetime = await db.fetchval("select now()")
    return found


def _machine(row: asyncpg.Record) -> MachineFacts:
    known = {name: value for name, value in row.items() if name in _MACHINE_FIELDS}
    known |= {"state": MachineState(row["state"]), "pinned_core_ids": frozenset(row["pinned_core_ids"])}
    return MachineFacts(**known, guest=_guest(row))


def _guest(row: asyncpg.Record) -> GuestOf | None:
    if row["guest_name"] is None:
        return None
    return GuestOf(
        name=row["guest_name"],
        host_name=row["guest_host"],
        on_its_host=row["on_its_host"],
        cores=row["guest_cores"],
        memory_mib=row["guest_memory_mib"],
        pinned_core_ids=frozenset(row["guest_pins"]),
    )
