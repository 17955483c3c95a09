"""Rows of the addresses that links of NICs claim, and of those that are kept for them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from regiond.networks import store
from regiond.networks.model import Address, Subnet

if TYPE_CHECKING:
    from regiond.db.pool import Db

_DELETE = "delete from ip_address where nic_id = any($1::integer[])"
_DELETE_OF_DEVICES = "delete from ip_address where device_nic_id = any($1::integer[])"
_OVERLAPPING = "select id from subnet where cidr && $1::cidr and id <> $2"
# An owner has changed the link of the NIC, and its release gives it this address again.
_KEPT_FOR = """
    select m.hostname
      from machine_nic n join machine m on m.id = n.machine_id
     where n.link_before is not null and (n.link_before ->> 'address')::inet = $1 and m.id is distinct from $2
     order by m.id limit 1
"""
_KEPT = """
    select n.link_before ->> 'address' as address
      from machine_nic n
     where n.link_before ->> 'address' is not null and n.machine_id is distinct from $1
"""


async def delete_addresses(db: Db, nic_ids: Sequence[int]) -> None:
    """Idempotent."""
    await db.execute(_DELETE, nic_ids)


async def delete_device_addresses(db: Db, device_nic_ids: Sequence[int]) -> None:
    """Idempotent."""
    await db.execute(_DELETE_OF_DEVICES, device_nic_ids)


async def overlapping(db: Db, subnet: Subnet) -> tuple[Subnet, ...]:
    """The other subnets that share addresses with this one."""
    ids = [row["id"] for row in await db.fetch(_OVERLAPPING, subnet.cidr, subnet.id)]
    return await store.subnets(db, ids=ids) if ids else ()


async def kept_for(db: Db, address: Address, *, except_machine_id: int | None = None) -> str | None:
    """The hostname of the machine for whose release the address is kept, if any."""
    found: str | None = await db.fetchval(_KEPT_FOR, address, except_machine_id)
    return found


async def kept_addresses(db: Db, *, except_machine_id: int | None) -> tuple[Address, ...]:
    return tuple(ip_address(row["address"]) for row in await db.fetch(_KEPT, except_machine_id))
