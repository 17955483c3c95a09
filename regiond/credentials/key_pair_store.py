"""The rows of key pairs, and which hosts use them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from common.errors import NotFound

if TYPE_CHECKING:
    from regiond.db.pool import Db

# Two who add hosts of one server at once are here in turn: the second finds the pair of the first.
_LOCK_ADDRESS = "select pg_advisory_xact_lock(hashtextextended('lxd key pair ' || $1, 0))"
_AT_ADDRESS = """
    select key_pair_id from vm_host
     where driver = 'lxd' and address = $1 and key_pair_id is not null and id is distinct from $2 order by id limit 1
"""
_NEW_ID = "select nextval(pg_get_serial_sequence('key_pair', 'id'))::integer"
_INSERT = """
    insert into key_pair (id, certificate_pem, fingerprint, expires_at, imported, sealed_key, replaces_id)
    values ($1, $2, $3, $4, $5, $6, $7)
"""
_READ = """
    select id, certificate_pem, fingerprint, expires_at, imported, sealed_key, replaces_id from key_pair where id = $1
"""
_NEXT = "select id from key_pair where replaces_id = $1"
_LOCK = "select id from key_pair where id = $1 for update"
_OF_HOST = "select key_pair_id from vm_host where id = $1"
_USE = "update vm_host set key_pair_id = $2 where id = $1 and key_pair_id is distinct from $2"
_RETIRE = "update key_pair set retired_fingerprint = $2 where id = $1"
_RETIRED = """
    select k.retired_fingerprint from key_pair k join vm_host h on h.key_pair_id = k.id
     where h.id = $1 and k.retired_fingerprint is not null
"""
_FORGET_RETIRED = "update key_pair set retired_fingerprint = null where retired_fingerprint = $1"
_SWITCH = "update vm_host set key_pair_id = $2 where key_pair_id = $1"
_REPLACED = "update key_pair set replaces_id = null where id = $1"
_ADDRESSES = "select distinct address from vm_host where key_pair_id = $1"
_HOSTS = "select id, name from vm_host where key_pair_id = $1 order by id"
# A pair that no host uses goes, unless a rotation needs it.
_DROP_UNUSED = """
    delete from key_pair k
     where k.id = $1
       and not exists (select 1 from vm_host where key_pair_id = k.id)
       and k.replaces_id is null
       and not exists (select 1 from key_pair n where n.replaces_id = k.id)
"""
_DELETE = "delete from key_pair where id = $1"
_NAMED = """
    select h.id as host_id, k.certificate_pem, k.fingerprint
      from vm_host h left join key_pair k on k.id = h.key_pair_id where h.name = $1 order by h.id
"""
# The pair that hosts of the same server use already: a server is known by the certificate that is pinned.
_OF_SAME_SERVER = """
    select o.key_pair_id from vm_host o join vm_host h on h.id = $1
     where o.driver = 'lxd' and o.id <> h.id and o.pinned_fingerprint = $2 and o.key_pair_id is not null
       and o.state <> 'pending'
     order by o.id limit 1
"""
_NEARING = """
    update key_pair k set told_days = due.days
      from (select p.id, (select min(days) from unnest($2::integer[]) as days
                           where p.expires_at <= $1::timestamptz + make_interval(days => days)) as days
              from key_pair p) due
     where due.id = k.id and due.days is not null and (k.told_days is null or k.told_days > due.days)
    returning k.id, k.fingerprint, k.expires_at, k.told_days
"""


@frozen(kw_only=True)
class PairRow:
    id: int
    certificate_pem: str
    fingerprint: str
    expires_at: datetime
    imported: bool
    sealed_key: bytes
    replaces_id: int | None


@frozen(kw_only=True)
class NamedCertificate:
    """What a host of that name uses; None when it has no certificate."""

    host_id: int
    certificate_pem: str | None
    fingerprint: str | None


@frozen(kw_only=True)
class NearExpiry:
    id: int
    fingerprint: str
    expires_at: datetime
    told_days: int


async def lock_address(db: Db, address: str) -> None:
    await db.execute(_LOCK_ADDRESS, address)


async def at_address(db: Db, address: str, *, but: int | None = None) -> int | None:
    """The pair of the hosts there, but for the host `but`."""
    found: int | None = await db.fetchval(_AT_ADDRESS, address, but)
    return found


async def of_same_server(db: Db, host_id: int, pinned_fingerprint: str) -> int | None:
    found: int | None = await db.fetchval(_OF_SAME_SERVER, host_id, pinned_fingerprint)
    return found


async def new_id(db: Db) -> int:
    """Chosen before the row is written: the seal of the key is bound to it."""
    pair_id: int = await db.fetchval(_NEW_ID)
    return pair_id


async def insert(db: Db, row: PairRow) -> None:
    await db.execute(
        _INSERT, row.id, row.certificate_pem, row.fingerprint, row.expires_at, row.imported, row.sealed_key,
        row.replaces_id,
    )  # fmt: skip


async def read(db: Db, pair_id: int) -> PairRow:
    row = await db.fetchrow(_READ, pair_id)
    if row is None:
        raise NotFound(f"There is no key pair {pair_id} any more.", key_pair=pair_id)
    return PairRow(**dict(row))


async def lock(db: Db, pair_id: int) -> bool:
    """Nobody else changes what becomes of the pair until the transaction ends; False when it is gone."""
    return await db.fetchval(_LOCK, pair_id) is not None


async def next_of(db: Db, pair_id: int) -> int | None:
    """The pair that is to replace this one, while a rotation is under way."""
    found: int | None = await db.fetchval(_NEXT, pair_id)
    return found


async def of_host(db: Db, host_id: int) -> int | None:
    found: int | None = await db.fetchval(_OF_HOST, host_id)
    return found


async def use(db: Db, host_id: int, pair_id: int) -> None:
    await db.execute(_USE, host_id, pair_id)


async def retire(db: Db, pair_id: int, fingerprint: str) -> None:
    """The certificate that this pair took the place of is to go from the server's trust list."""
    await db.execute(_RETIRE, pair_id, fingerprint)


async def retired(db: Db, host_id: int) -> str | None:
    """What the host's server need not trust any more."""
    found: str | None = await db.fetchval(_RETIRED, host_id)
    return found


async def forget_retired(db: Db, fingerprint: str) -> bool:
    """Whether it was still kept: of several members that looked at once, one says what became of it."""
    return bool(await db.execute(_FORGET_RETIRED, fingerprint) != "UPDATE 0")


async def switch(db: Db, old_id: int, new_id: int) -> None:
    """Every host of the old pair uses the new one."""
    await db.execute(_SWITCH, old_id, new_id)


async def set_replaced(db: Db, pair_id: int) -> None:
    """The pair that this one replaced is gone for good."""
    await db.execute(_REPLACED, pair_id)


async def hosts(db: Db, pair_id: int) -> Mapping[int, str]:
    """The names of the hosts that use the pair, by id."""
    return {row["id"]: row["name"] for row in await db.fetch(_HOSTS, pair_id)}


async def addresses(db: Db, pair_id: int) -> tuple[str, ...]:
    return tuple(row["address"] for row in await db.fetch(_ADDRESSES, pair_id))


async def drop_unused(db: Db, pair_id: int) -> None:
    await db.execute(_DROP_UNUSED, pair_id)


async def delete(db: Db, pair_id: int) -> None:
    await db.execute(_DELETE, pair_id)


async def named(db: Db, name: str) -> tuple[NamedCertificate, ...]:
    return tuple(NamedCertificate(**_plain(row)) for row in await db.fetch(_NAMED, name))


async def nearing_expiry(db: Db, now: datetime, days: tuple[int, ...]) -> tuple[NearExpiry, ...]:
    """Pairs that came nearer to their end than one of `days` since they were told of; they count as told now."""
    return tuple(NearExpiry(**_plain(row)) for row in await db.fetch(_NEARING, now, list(days)))


def _plain(row: Any) -> dict[str, Any]:
    return dict(row)
