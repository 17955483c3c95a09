"""SQL of the credentials that racks were sent: recorded before each is sent, and until it exists no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from regiond.credentials.model import SentCredential, SentTo
from regiond.db.pool import Db

KEY_PAIR = "key_pair"

_IS_SENT = """
    select not exists (
        select from unnest($3::text[], $4::text[]) given (name, fingerprint)
         where not exists (select from rack_credential c
                            where c.rack_id = $1 and c.host_id = $2 and c.name = given.name
                              and c.fingerprint = given.fingerprint and c.forgotten_at is null))
"""
# The lock makes the removal of the rack, which locks the row for update, wait for this record, or this record find the
# rack removed. Of several pairs with one fingerprint the host's counts, or the one that replaces it.
_RECORD = """
    insert into rack_credential (rack_id, host_id, name, fingerprint, key_pair_id)
    select r.id, h.id, given.name, given.fingerprint, pair.id
      from (select id, zone_ids from rack where id = $1 and removed_at is null for key share) r
      join vm_host h on h.id = $2 and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
     cross join unnest($3::text[], $4::text[]) given (name, fingerprint)
      left join lateral (
           select k.id from key_pair k where given.name = 'key_pair' and k.fingerprint = given.fingerprint
            order by k.id = h.key_pair_id desc nulls last, k.replaces_id = h.key_pair_id desc nulls last, k.id
            limit 1) pair on true
     where given.name <> 'key_pair' or pair.id is not null
    on conflict (rack_id, host_id, name, fingerprint) do update
       set sent_at = case when rack_credential.forgotten_at is null then rack_credential.sent_at else now() end,
           forgotten_at = null, key_pair_id = excluded.key_pair_id
    returning name
"""
_FORGOTTEN = """
    update rack_credential set forgotten_at = now()
     where rack_id = $1 and host_id = $2 and forgotten_at is null and sent_at <= $3
"""
_DROP = "delete from rack_credential where host_id = $1 and name = any($2::text[])"
# A rack that was stolen may have kept what it was told to delete.
_SENT_TO = """
    select c.host_id, h.name as host_name, h.address, c.name, c.fingerprint, c.key_pair_id, c.sent_at
      from rack_credential c
      join vm_host h on h.id = c.host_id
      join rack r on r.id = c.rack_id
     where c.rack_id = $1 and (c.forgotten_at is null or r.stolen_at is not null)
     order by h.name, c.name, c.fingerprint
"""
_EXPOSING_RACKS = """
    select distinct r.id from rack_credential c join rack r on r.id = c.rack_id
     where c.key_pair_id = $1 and r.removed_at is not null and (c.forgotten_at is null or r.stolen_at is not null)
"""


async def is_sent(db: Db, rack_id: UUID, host_id: int, credentials: Sequence[SentCredential]) -> bool:
    """Whether the rack has all these credentials of the host, by what was recorded."""
    found: bool = await db.fetchval(_IS_SENT, rack_id, host_id, *_columns(credentials))
    return found


async def record_sent(db: Db, rack_id: UUID, host_id: int, credentials: Sequence[SentCredential]) -> bool:
    """Records what is about to be sent. False, with nothing to be sent, if the rack may not have all of it: it was
    removed, does not serve the host's zone, or the key pair was deleted. Idempotent."""
    recorded = await db.fetch(_RECORD, rack_id, host_id, *_columns(credentials))
    return len(recorded) == len(credentials)


async def record_forgotten(db: Db, rack_id: UUID, host_id: int, sent_before: datetime) -> None:
    """Records that the rack has deleted the host's credentials that it was sent until then. Idempotent."""
    await db.execute(_FORGOTTEN, rack_id, host_id, sent_before)


async def drop_sent(db: Db, host_id: int, names: Iterable[str]) -> None:
    """Forgets the records of secrets of the host that have been replaced."""
    await db.execute(_DROP, host_id, list(names))


async def credentials_sent_to(db: Db, rack_id: UUID) -> tuple[SentTo, ...]:
    """Returns the existing credentials that the rack has, by host; with those that a stolen rack may have kept."""
    return tuple(SentTo(**row) for row in await db.fetch(_SENT_TO, rack_id))


async def racks_that_expose(db: Db, pair_id: int) -> tuple[UUID, ...]:
    """Returns the removed and stolen racks that had this key pair."""
    return tuple(row[0] for row in await db.fetch(_EXPOSING_RACKS, pair_id))


def _columns(credentials: Sequence[SentCredential]) -> tuple[list[str], list[str]]:
    return [one.name for one in credentials], [one.fingerprint for one in credentials]
