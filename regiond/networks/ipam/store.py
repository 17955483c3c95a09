"""Rows of IP ranges and of claimed addresses."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from attrs import frozen

from regiond.db.pool import Db, of_row
from regiond.networks import store
from regiond.networks.model import Address, IpRange, Network, Subnet

_RANGES = """
    select id, subnet_id, type, host(start_ip) as start_ip, host(end_ip) as end_ip, comment, discovered
      from ip_range
     where ($1::integer is null or id = $1) and ($2::integer is null or subnet_id = $2)
       and ($3::inet is null or $3 between start_ip and end_ip) and ($4 or not discovered)
     order by subnet_id, start_ip, id
"""
_INSERT_RANGE = """
    insert into ip_range (subnet_id, type, start_ip, end_ip, comment) values ($1, $2, $3, $4, $5) returning id
"""
_UPDATE_RANGE = "update ip_range set start_ip = $2, end_ip = $3, comment = $4 where id = $1"
_DELETE_RANGE = "delete from ip_range where id = $1"
_HOSTS_WITH_RANGE = """
    select distinct h.name
      from host_interface i
      join host_interface_address a on a.interface_id = i.id
      join vm_host h on h.id = i.host_id
     where i.missing_since is null and a.subnet_id = $1 and $2 = any(i.dhcp_ranges)
     order by h.name
"""
_SUBNETS_CONTAINING = "select id from subnet where cidr >>= $1::inet order by masklen(cidr) desc"
_LOCK_EXISTENCE = "select id from subnet where id = $1 for key share"
_LOCK_EXISTING = "select from subnet where id = any($1::integer[]) order by id for key share"
_LOCK_SUBNET = "select id from subnet where id = $1 for update"
_COUNT_SUBNETS = "select count(*) from subnet"
# A machine's NIC also takes what the machine keeps; the host may reserve that for another NIC.
_CLAIM = """
    insert into ip_address as held (subnet_id, address, machine_id, nic_id, device_nic_id, on_host)
    values ($1, $2, $3, $4, $5, $6)
    on conflict (address) do update
       set subnet_id = excluded.subnet_id, nic_id = excluded.nic_id,
           on_host = case when held.on_host is false then false end
     where held.machine_id = excluded.machine_id and num_nonnulls(held.nic_id, held.device_nic_id) = 0
       and excluded.nic_id is not null
    returning id
"""
_CLAIMS = """
    select host(a.address) as address, coalesce(m.hostname, d.hostname) as hostname
      from ip_address a
      left join machine m on m.id = a.machine_id
      left join device_nic n on n.id = a.device_nic_id
      left join device d on d.id = n.device_id
     where a.subnet_id = $1
     order by a.address
"""


@frozen(kw_only=True)
class Claim:
    address: Address
    hostname: str


async def ranges(
    db: Db,
    *,
    range_id: int | None = None,
    subnet_id: int | None = None,
    address: Address | None = None,
    with_discovered: bool = True,
) -> tuple[IpRange, ...]:
    """The ranges that match everything given, by subnet and start. `address` is one that they contain."""
    rows = await db.fetch(_RANGES, range_id, subnet_id, address, with_discovered)
    subnets = {subnet.id: subnet for subnet in await store.subnets(db, ids={row["subnet_id"] for row in rows})}
    return tuple(
        of_row(
            IpRange,
            row,
            subnet=subnets[row["subnet_id"]],
            start_ip=ip_address(row["start_ip"]),
            end_ip=ip_address(row["end_ip"]),
        )
        for row in rows
    )


async def insert_range(db: Db, subnet_id: int, type: str, start: Address, end: Address, comment: str) -> int:
    created: int = await db.fetchval(_INSERT_RANGE, subnet_id, type, start, end, comment)
    return created


async def update_range(db: Db, range_id: int, start: Address, end: Address, comment: str) -> None:
    await db.execute(_UPDATE_RANGE, range_id, start, end, comment)


async def delete_range(db: Db, range_id: int) -> None:
    await db.execute(_DELETE_RANGE, range_id)


async def hosts_with_range(db: Db, found: IpRange) -> tuple[str, ...]:
    """The names of the hosts that reported exactly this range at their last refresh."""
    rows = await db.fetch(_HOSTS_WITH_RANGE, found.subnet.id, f"{found.start_ip}-{found.end_ip}")
    return tuple(row["name"] for row in rows)


async def subnets_containing(db: Db, address: Address) -> tuple[Subnet, ...]:
    """The smallest subnet first."""
    ids = [row["id"] for row in await db.fetch(_SUBNETS_CONTAINING, address)]
    subnets = {subnet.id: subnet for subnet in await store.subnets(db, ids=ids)}
    return tuple(subnets[id_] for id_ in ids)


async def count_subnets(db: Db) -> int:
    found: int = await db.fetchval(_COUNT_SUBNETS)
    return found


async def lock_existence(db: Db, subnet_id: int) -> bool:
    """Prevents the deletion of the subnet until the transaction ends. False if it does not exist."""
    return await db.fetchval(_LOCK_EXISTENCE, subnet_id) is not None


async def lock_subnets(db: Db, subnet_ids: Iterable[int]) -> None:
    """As `lock_existence`, for those that exist."""
    await db.execute(_LOCK_EXISTING, list(subnet_ids))


async def lock_subnet(db: Db, subnet_id: int) -> bool:
    """Until the transaction ends, no other transaction claims an address of the subnet. False if it does not exist."""
    return await db.fetchval(_LOCK_SUBNET, subnet_id) is not None


async def claim(
    db: Db,
    subnet_id: int,
    address: Address,
    machine_id: int | None,
    nic_id: int | None,
    *,
    device_nic_id: int | None = None,
    on_host: bool = False,
) -> bool:
    """`machine_id` is None only for the NIC of a device that is on no machine.

    `on_host`: the host is about to reserve it, and nothing can change before it does.

    False if another machine claims the address, even if its transaction committed while this one waited.
    """
    return await db.fetchval(_CLAIM, subnet_id, address, machine_id, nic_id, device_nic_id, on_host) is not None


async def claims(db: Db, subnet_id: int) -> tuple[Claim, ...]:
    """By address."""
    rows = await db.fetch(_CLAIMS, subnet_id)
    return tuple(Claim(address=ip_address(row["address"]), hostname=row["hostname"]) for row in rows)


def outside(claims: Iterable[Claim], network: Network) -> tuple[Claim, ...]:
    return tuple(claim for claim in claims if claim.address not in network)
