"""Rows of the addresses of links, and of those that a machine keeps without a NIC that has them.

A machine keeps an address while its host may reserve it, and while its release gives it back to a NIC: nobody else may
have it then. The rows say what the host reserves, as far as that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from regiond.db.pool import Db
from regiond.networks import store
from regiond.networks.model import Address, Subnet

_DELETE_UNUSED = """
    delete from ip_address a
     where a.nic_id = any($1::integer[]) and a.on_host is false
       and not exists (select from machine_nic n
                        where n.machine_id = a.machine_id and (n.link_before ->> 'address')::inet = a.address)
"""
_KEEP = "update ip_address set nic_id = null where nic_id = any($1::integer[])"
_TAKE_BACK = """
    update ip_address set nic_id = $2, on_host = case when on_host is false then false end
     where machine_id = $1 and address = $3 and num_nonnulls(nic_id, device_nic_id) = 0
    returning id
"""
_DELETE_OF_DEVICES = "delete from ip_address where device_nic_id = any($1::integer[])"
_OVERLAPPING = "select id from subnet where cidr && $1::cidr and id <> $2"
_KEPT = (
    "select host(address) as address from ip_address where machine_id = $1 and num_nonnulls(nic_id, device_nic_id) = 0"
)
_DIFFERS = """
    select exists (select from ip_address
                    where machine_id = $1 and device_nic_id is null and on_host is distinct from (nic_id is not null))
"""
_DELETE_KEPT_ADDRESS = """
    delete from ip_address a
     where a.machine_id = $1 and a.address = $2 and num_nonnulls(a.nic_id, a.device_nic_id) = 0
       and not exists (select from machine_nic n
                        where n.machine_id = $1 and (n.link_before ->> 'address')::inet = a.address)
"""
_DELETE_OTHERS = """
    delete from ip_address a
     where a.address is distinct from $2::inet
       and (a.nic_id = $1
            or (num_nonnulls(a.nic_id, a.device_nic_id) = 0
                and exists (select from machine_nic n where n.id = $1 and n.machine_id = a.machine_id
                                                        and (n.link_before ->> 'address')::inet = a.address)))
"""
_GIVE = """
    update ip_address set nic_id = $2, on_host = true
     where machine_id = $1 and address = $3::inet and num_nonnulls(nic_id, device_nic_id) = 0
"""
_BEGIN = "update ip_address set on_host = null where machine_id = $1 and nic_id is not null and on_host is false"
_DELETE_KEPT = """
    delete from ip_address a
     where a.machine_id = $1 and num_nonnulls(a.nic_id, a.device_nic_id) = 0
       and not exists (select from machine_nic n
                        where n.machine_id = $1 and (n.link_before ->> 'address')::inet = a.address)
"""
_END = """
    update ip_address set on_host = nic_id is not null
     where machine_id = $1 and device_nic_id is null and on_host is distinct from (nic_id is not null)
"""


async def release_addresses(db: Db, nic_ids: Sequence[int]) -> None:
    """The NICs have no addresses any more. Their machines keep those that the host may reserve, and those that their
    release restores. Idempotent.
    """
    await db.execute(_DELETE_UNUSED, nic_ids)
    await db.execute(_KEEP, nic_ids)


async def take_back_address(db: Db, machine_id: int, nic_id: int, address: Address) -> bool:
    """The NIC has again what its machine keeps. False if the machine does not keep the address."""
    return await db.fetchval(_TAKE_BACK, machine_id, nic_id, address) is not None


async def keep_no_longer(db: Db, machine_id: int, address: str) -> None:
    """Ends the claim of an address that no NIC of the machine has, unless its release restores it. Idempotent."""
    await db.execute(_DELETE_KEPT_ADDRESS, machine_id, ip_address(address))


async def replace_address(db: Db, machine_id: int, nic_id: int, address: str | None) -> None:
    """The NIC has this address, which its machine keeps, instead of what it had or its release would restore.

    Its host reserves no other for it. Idempotent.
    """
    new = None if address is None else ip_address(address)
    await db.execute(_DELETE_OTHERS, nic_id, new)
    if new is not None:
        await db.execute(_GIVE, machine_id, nic_id, new)


async def release_device_addresses(db: Db, device_nic_ids: Sequence[int]) -> None:
    """Ends the claims of these NICs of devices. Idempotent."""
    await db.execute(_DELETE_OF_DEVICES, device_nic_ids)


async def overlapping(db: Db, subnet: Subnet) -> tuple[Subnet, ...]:
    """The other subnets that share addresses with this one."""
    ids = [row["id"] for row in await db.fetch(_OVERLAPPING, subnet.cidr, subnet.id)]
    return await store.subnets(db, ids=ids) if ids else ()


async def kept_addresses(db: Db, machine_id: int) -> frozenset[Address]:
    """Returns the addresses that the machine keeps without a NIC that has them."""
    return frozenset(ip_address(row["address"]) for row in await db.fetch(_KEPT, machine_id))


async def reservations_differ(db: Db, machine_id: int) -> bool:
    """Whether the machine's host may reserve anything but the addresses of the machine's NICs."""
    found: bool = await db.fetchval(_DIFFERS, machine_id)
    return found


async def begin_reservation(db: Db, machine_id: int) -> None:
    """Call it before the host is told to reserve the addresses of the machine's NICs: it may do so from now on."""
    await db.execute(_BEGIN, machine_id)


async def end_reservation(db: Db, machine_id: int) -> None:
    """The host reserves exactly the addresses of the machine's NICs; others are free, but what its release restores.

    The NICs must not have changed since `begin_reservation`. Idempotent.
    """
    await db.execute(_DELETE_KEPT, machine_id)
    await db.execute(_END, machine_id)
