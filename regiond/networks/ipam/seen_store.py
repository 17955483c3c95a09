"""Rows of the addresses that guests have without Innkeeper's assignment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_address

import asyncpg
from attrs import frozen

from regiond.db.pool import Db
from regiond.networks.ipam.seen import AddressChanges, NicRecord
from regiond.networks.model import Address

_NICS = """
    select n.id, m.uuid, n.mac_address,
           array(select host(s.address) from seen_address s where s.nic_id = n.id) as addresses
      from machine m join machine_nic n on n.machine_id = m.id
"""
_SETTLED = """
     where m.host_id = $1 and m.settled_at < $2
       and not exists (select 1 from operation o where o.machine_id = m.id and o.is_open)
"""
_NICS_OF_HOST = _NICS + _SETTLED
_NICS_OF_MACHINE = _NICS + " where m.id = $1"
_REMOVE = """
    delete from seen_address s using unnest($1::integer[], $2::inet[]) as ended (nic_id, address)
     where s.nic_id = ended.nic_id and s.address = ended.address
"""
# A NIC that is being deleted is skipped.
_ADD = """
    insert into seen_address (nic_id, address)
    select n.id, found.address
      from unnest($1::integer[], $2::inet[]) as found (nic_id, address) join machine_nic n on n.id = found.nic_id
       for key share of n
    on conflict do nothing
"""
_DELETE = "delete from seen_address s using machine_nic n where n.id = s.nic_id and n.machine_id = $1"
_OF_MACHINES = """
    select s.id, s.nic_id, host(s.address) as address, s.seen_at,
           (select sub.id from subnet sub where sub.cidr >>= s.address order by masklen(sub.cidr) desc limit 1)
               as subnet_id
      from machine_nic n
      join machine m on m.id = n.machine_id and m.power_state in ('on', 'paused')
      join seen_address s on s.nic_id = n.id
     where n.machine_id = any($1::integer[])
     order by s.nic_id, family(s.address), s.id
"""


@frozen(kw_only=True)
class SeenRow:
    id: int
    nic_id: int
    address: Address
    seen_at: datetime
    subnet_id: int | None  # the smallest subnet that contains the address


async def nics_of_host(db: Db, host_id: int, settled_before: datetime) -> list[NicRecord]:
    """Returns the NICs of machines that no operation acts on, nor has since that time."""
    return [_nic(row) for row in await db.fetch(_NICS_OF_HOST, host_id, settled_before)]


async def nics_of_machine(db: Db, machine_id: int) -> list[NicRecord]:
    return [_nic(row) for row in await db.fetch(_NICS_OF_MACHINE, machine_id)]


async def write(db: Db, changes: AddressChanges) -> None:
    if changes.removed:
        await db.execute(_REMOVE, [nic_id for nic_id, _ in changes.removed], [one for _, one in changes.removed])
    if changes.added:
        await db.execute(_ADD, [nic_id for nic_id, _ in changes.added], [one for _, one in changes.added])


async def forget_addresses(db: Db, machine_id: int) -> None:
    """Forgets the addresses of a machine whose guest is off. Idempotent."""
    await db.execute(_DELETE, machine_id)


async def of_machines(db: Db, machine_ids: Sequence[int]) -> list[SeenRow]:
    """Returns rows by NIC, IPv4 first, then in the order in which they were seen; of machines that run."""
    rows = await db.fetch(_OF_MACHINES, machine_ids) if machine_ids else []
    return [SeenRow(**{**row, "address": ip_address(row["address"])}) for row in rows]


def _nic(row: asyncpg.Record) -> NicRecord:
    return NicRecord(
        id=row["id"],
        machine_uuid=row["uuid"],
        mac_address=row["mac_address"],
        addresses=frozenset(ip_address(address) for address in row["addresses"]),
    )
