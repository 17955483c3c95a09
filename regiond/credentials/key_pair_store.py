"""SQL of key pairs and of the hosts that use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from attrs import frozen

from common.errors import NotFound
from regiond.credentials.model import ExpiringKeyPair
from regiond.db.pool import Db

# Serializes requests that add hosts of one server, so that the second finds the pair of the first.
_LOCK_ADDRESS = "select pg_advisory_xact_lock(hashtextextended('lxd key pair ' || $1, 0))"
_AT_ADDRESS = """
    select key_pair_id from vm_host
     where driver = 'lxd' and address = $1 and key_pair_id is not null and id is distinct from $2
       and not leaves_key_pair
     order by id limit 1
"""
_KEPT_AT_ADDRESS = "select id from key_pair where kept_address = $1 order by id limit 1"
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
_NO_LONGER_KEPT = "update key_pair set kept_address = null where id = $1 and kept_address is not null"
_USE = "update vm_host set key_pair_id = $2 where id = $1 and key_pair_id is distinct from $2"
_RETIRE = "update key_pair set retired_fingerprint = $2 where id = $1"
_RETIRED = """
    select k.retired_fingerprint from key_pair k join vm_host h on h.key_pair_id = k.id
     where h.id = $1 and k.retired_fingerprint is not null
"""
_CLEAR_RETIRED = "update key_pair set retired_fingerprint = null where retired_fingerprint = $1"
_SWITCH = "update vm_host set key_pair_id = $2 where key_pair_id = $1"
_REPLACED = "update key_pair set replaces_id = null where id = $1"
_ADDRESSES = "select distinct address from vm_host where key_pair_id = $1"
_HOSTS = "select id, name from vm_host where key_pair_id = $1 order by id"
# A pair that no host uses is deleted, unless a rotation needs it.
_DROP_UNUSED = """
    delete from key_pair k
     where k.id = $1
       and not exists (select 1 from vm_host where key_pair_id = k.id)
       and k.replaces_id is null
       and k.kept_address is null
       and not exists (select 1 from key_pair n where n.replaces_id = k.id)
"""
_DELETE = "delete from key_pair where id = $1"
_CERTIFICATE_NAMED = """
    select k.certificate_pem from vm_host h left join key_pair k on k.id = h.key_pair_id where h.name = $1
"""
# Hosts with the same pinned certificate are on the same server.
_OF_SAME_SERVER = """
    select o.key_pair_id from vm_host o join vm_host h on h.id = $1
     where o.driver = 'lxd' and o.id <> h.id and o.pinned_fingerprint = $2 and o.key_pair_id is not null
       and o.state <> 'pending' and not o.leaves_key_pair
     order by o.id limit 1
"""
_NEARING = """
    update key_pair k set expiry_notified_days = due.days
      from (select p.id, (select min(days) from unnest($2::integer[]) as days
                           where p.expires_at <= $1::timestamptz + make_interval(days => days)) as days
              from key_pair p) due
     where due.id = k.id and due.days is not null
       and (k.expiry_notified_days is null or k.expiry_notified_days > due.days)
    returning k.id, k.fingerprint, k.expires_at, k.expiry_notified_days
"""

_LEAVE = "update vm_host set leaves_key_pair = true where id = $1"
_STAY = "update vm_host set leaves_key_pair = false where id = $1 and leaves_key_pair"
_USED = """
    select exists (select from vm_host where key_pair_id = $1 and not leaves_key_pair and id <> all($2::integer[]))
"""
_KEEP = """
    update key_pair set kept_address = case when $3 then (select address from vm_host where id = $2) end where id = $1
"""
# During a rotation the server may trust the certificates of both pairs; of a pair that a user replaced, the old one.
_OTHERS = """
    select fingerprint from key_pair
     where replaces_id = $1 or id = (select replaces_id from key_pair where id = $1)
    union
    select retired_fingerprint from key_pair where id = $1 and retired_fingerprint is not null
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


async def lock_key_pair_address(db: Db, address: str) -> None:
    """Until the transaction ends, no other adds or changes a key pair of the hosts at the address."""
    await db.execute(_LOCK_ADDRESS, address)


async def key_pair_at_address(db: Db, address: str, *, but: int | None = None) -> int | None:
    """Returns the id of the pair of the hosts at the address, or of the one kept for it, ignoring the host `but`."""
    found: int | None = await db.fetchval(_AT_ADDRESS, address, but)
    if found is None:
        found = await db.fetchval(_KEPT_AT_ADDRESS, address)
    return found


async def key_pair_of_same_server(db: Db, host_id: int, pinned_fingerprint: str) -> int | None:
    """Returns the id of the pair of another discovered host that presents the same certificate."""
    found: int | None = await db.fetchval(_OF_SAME_SERVER, host_id, pinned_fingerprint)
    return found


async def new_id(db: Db) -> int:
    """Returns an id for `insert`: the sealed key is bound to the id."""
    pair_id: int = await db.fetchval(_NEW_ID)
    return pair_id


async def insert(db: Db, row: PairRow) -> None:
    await db.execute(
        _INSERT, row.id, row.certificate_pem, row.fingerprint, row.expires_at, row.imported, row.sealed_key,
        row.replaces_id,
    )  # fmt: skip


async def read(db: Db, pair_id: int) -> PairRow:
    """Raises NotFound."""
    row = await db.fetchrow(_READ, pair_id)
    if row is None:
        raise NotFound(f"Key pair {pair_id} has been removed.", key_pair=pair_id)
    return PairRow(**row)


async def lock_key_pair(db: Db, pair_id: int) -> bool:
    """Locks the pair until the transaction ends. Returns False if it has been deleted."""
    return await db.fetchval(_LOCK, pair_id) is not None


async def replacement_of(db: Db, pair_id: int) -> int | None:
    """Returns the id of the pair that replaces this one, during a rotation."""
    found: int | None = await db.fetchval(_NEXT, pair_id)
    return found


async def key_pair_of_host(db: Db, host_id: int) -> int | None:
    found: int | None = await db.fetchval(_OF_HOST, host_id)
    return found


async def assign_key_pair(db: Db, host_id: int, pair_id: int) -> None:
    """The pair is then no longer kept for another time: the removal of its last host decides again."""
    await db.execute(_USE, host_id, pair_id)
    await db.execute(_NO_LONGER_KEPT, pair_id)


async def retire(db: Db, pair_id: int, fingerprint: str) -> None:
    """Records the certificate that this pair replaced, so that a discovery run removes it from the trust list."""
    await db.execute(_RETIRE, pair_id, fingerprint)


async def retired_certificate(db: Db, host_id: int) -> str | None:
    """Returns the fingerprint of the certificate that the server of the host should no longer trust."""
    found: str | None = await db.fetchval(_RETIRED, host_id)
    return found


async def clear_retired_certificate(db: Db, fingerprint: str) -> bool:
    """Returns whether it was still recorded: of several cluster members at once, one reports the removal."""
    return bool(await db.execute(_CLEAR_RETIRED, fingerprint) != "UPDATE 0")


async def move_hosts_to_key_pair(db: Db, old_id: int, new_id: int) -> None:
    """Assigns the new pair to every host of the old one."""
    await db.execute(_SWITCH, old_id, new_id)
    await db.execute(_NO_LONGER_KEPT, old_id)


async def finish_replacement(db: Db, pair_id: int) -> None:
    """Ends the rotation: this pair replaces none any more."""
    await db.execute(_REPLACED, pair_id)


async def hosts_of_key_pair(db: Db, pair_id: int) -> Mapping[int, str]:
    """Returns the names, by id, of the hosts that use the pair."""
    return {row["id"]: row["name"] for row in await db.fetch(_HOSTS, pair_id)}


async def addresses_of_key_pair(db: Db, pair_id: int) -> tuple[str, ...]:
    return tuple(row["address"] for row in await db.fetch(_ADDRESSES, pair_id))


async def drop_unused_key_pair(db: Db, pair_id: int) -> None:
    """Deletes the pair unless a host or a rotation uses it. Idempotent."""
    await db.execute(_DROP_UNUSED, pair_id)


async def delete_key_pair(db: Db, pair_id: int) -> None:
    await db.execute(_DELETE, pair_id)


async def certificate_named(db: Db, name: str) -> str | None:
    """Returns the certificate of the host with that name, as PEM: None if it has none. Raises NotFound."""
    row = await db.fetchrow(_CERTIFICATE_NAMED, name)
    if row is None:
        raise NotFound(f"There is no VM host named {name}.")
    pem: str | None = row["certificate_pem"]
    return pem


async def claim_expiry_notices(db: Db, now: datetime, days: tuple[int, ...]) -> tuple[ExpiringKeyPair, ...]:
    """Returns the pairs that have come within one of `days` of expiry, each once per limit, across all regions."""
    return tuple(ExpiringKeyPair(**row) for row in await db.fetch(_NEARING, now, list(days)))


async def leave_key_pair(db: Db, host_id: int) -> None:
    """Records that the removal of the host needs the server no longer. The caller holds the lock of the pair."""
    await db.execute(_LEAVE, host_id)


async def stay_with_key_pair(db: Db, host_id: int) -> None:
    """Reverts `leave_key_pair` of a host that is not removed. Idempotent."""
    await db.execute(_STAY, host_id)


async def key_pair_is_used(db: Db, pair_id: int, *, but: Iterable[int] = ()) -> bool:
    """Whether a host uses the pair, apart from those that leave it and from those named."""
    found: bool = await db.fetchval(_USED, pair_id, list(but))
    return found


async def keep_key_pair(db: Db, pair_id: int, host_id: int, *, keep: bool) -> None:
    """Decides whether the pair is kept when this last host is deleted, for the next host at its address."""
    await db.execute(_KEEP, pair_id, host_id, keep)


async def related_certificates(db: Db, pair_id: int) -> tuple[str, ...]:
    """Returns the fingerprints of other certificates of ours that the server may trust."""
    return tuple(row["fingerprint"] for row in await db.fetch(_OTHERS, pair_id))
