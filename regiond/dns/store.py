"""SQL of domains and static DNS names. A duplicate name raises asyncpg's UniqueViolationError."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from regiond.db.pool import Db, Row
from regiond.dns.model import Address, DnsFilter, DnsName, Domain, DomainChange
from regiond.requests.identifiers import split_reference

_DOMAINS = """
    select d.id, d.name, d.authoritative, d.ttl_s, count(a.id) as record_count
      from dns_domain d left join dns_name n on n.domain_id = d.id left join dns_address a on a.dns_name_id = n.id
     group by d.id order by d.name
"""
_DOMAIN = """
    select d.id, d.name, d.authoritative, d.ttl_s,
           (select count(*) from dns_name n join dns_address a on a.dns_name_id = n.id
             where n.domain_id = d.id) as record_count
      from dns_domain d where d.id::text = $1 or d.name = $2 order by (d.id::text = $1) desc limit 1
"""
_INSERT_DOMAIN = "insert into dns_domain (name, authoritative, ttl_s) values ($1, $2, $3) returning id"
_UPDATE_DOMAIN = """
    update dns_domain
       set name = coalesce($2, name), authoritative = coalesce($3, authoritative), ttl_s = coalesce($4, ttl_s)
     where id = $1
"""
# No name is added to the domain until it is deleted.
_LOCK_DOMAIN = "select from dns_domain where id = $1 for update"
# The domain is not deleted until the end of the transaction.
_RETAIN_DOMAIN = "select id from dns_domain where id = $1 for key share"
_COUNT_NAMES = "select count(*) from dns_name where domain_id = $1"
_DELETE_DOMAIN = "delete from dns_domain where id = $1"

_NAMES = """
    select n.id, n.name, n.domain_id, d.name as domain, n.ttl_s,
           array(select host(a.address) from dns_address a where a.dns_name_id = n.id order by a.id) as addresses
      from dns_name n join dns_domain d on d.id = n.domain_id
     where ($1::integer is null or n.id = $1)
       and ($2::text is null or n.name = $2)
       and ($3::text is null or d.id::text = $3 or d.name = $3)
       and ($4::text is null or $4 = case when n.name = '@' then d.name else n.name || '.' || d.name end)
     order by d.name, n.name
"""
_INSERT_NAME = "insert into dns_name (domain_id, name, ttl_s) values ($1, $2, $3) returning id"
_UPDATE_NAME = "update dns_name set domain_id = $2, name = $3, ttl_s = coalesce($4, ttl_s) where id = $1"
_LOCK_NAME = "select id from dns_name where id = $1 for update"
_DELETE_NAME = "delete from dns_name where id = $1"
_DELETE_ADDRESSES = "delete from dns_address where dns_name_id = $1"
_INSERT_ADDRESSES = """
    insert into dns_address (dns_name_id, address)
    select $1, given.address from unnest($2::inet[]) with ordinality as given (address, place) order by place
"""


async def domains(db: Db) -> tuple[Domain, ...]:
    return tuple(Domain(**row) for row in await db.fetch(_DOMAINS))


async def domain(db: Db, id_or_name: str) -> Domain | None:
    id_, name = split_reference(id_or_name)
    row = await db.fetchrow(_DOMAIN, id_, name)
    return None if row is None else Domain(**row)


async def insert_domain(db: Db, new: Domain) -> int:
    return int(await db.fetchval(_INSERT_DOMAIN, new.name, new.authoritative, new.ttl_s))


async def update_domain(db: Db, domain_id: int, change: DomainChange) -> None:
    await db.execute(_UPDATE_DOMAIN, domain_id, change.name, change.authoritative, change.ttl_s)


async def retain_domain(db: Db, domain_id: int) -> bool:
    """Returns whether it exists; nobody deletes it until the end of the transaction."""
    return await db.fetchrow(_RETAIN_DOMAIN, domain_id) is not None


async def delete_domain(db: Db, domain_id: int) -> int:
    """Deletes the domain unless it has names; returns their number, to which nobody adds one meanwhile."""
    await db.execute(_LOCK_DOMAIN, domain_id)
    count = int(await db.fetchval(_COUNT_NAMES, domain_id))
    if not count:
        await db.execute(_DELETE_DOMAIN, domain_id)
    return count


async def names(db: Db, wanted: DnsFilter) -> tuple[DnsName, ...]:
    rows = await db.fetch(_NAMES, None, wanted.name, wanted.domain, wanted.fqdn)
    return tuple(one for one in map(_name, rows) if wanted.rrtype is None or one.has_type(wanted.rrtype))


async def name(db: Db, name_id: int) -> DnsName | None:
    row = await db.fetchrow(_NAMES, name_id, None, None, None)
    return None if row is None else _name(row)


async def lock_name(db: Db, name_id: int) -> bool:
    """Returns whether it exists; nobody else changes it until the end of the transaction."""
    return await db.fetchrow(_LOCK_NAME, name_id) is not None


async def insert_name(db: Db, *, domain_id: int, name: str, ttl_s: int | None) -> int:
    return int(await db.fetchval(_INSERT_NAME, domain_id, name, ttl_s))


async def update_name(db: Db, name_id: int, *, domain_id: int, name: str, ttl_s: int | None) -> None:
    await db.execute(_UPDATE_NAME, name_id, domain_id, name, ttl_s)


async def set_addresses(db: Db, name_id: int, addresses: Sequence[Address]) -> None:
    await db.execute(_DELETE_ADDRESSES, name_id)
    await db.execute(_INSERT_ADDRESSES, name_id, list(addresses))


async def delete_name(db: Db, name_id: int) -> None:
    await db.execute(_DELETE_NAME, name_id)


def _name(row: Row) -> DnsName:
    values = dict(row.items())
    addresses = tuple(ip_address(text) for text in values.pop("addresses"))
    return DnsName(**values, addresses=addresses)
