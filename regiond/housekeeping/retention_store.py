"""SQL that deletes old rows, one kind at a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from regiond.db.pool import Db


class Kind(StrEnum):
    """A kind of rows that are deleted some time after their end."""

    IDEMPOTENCY_KEYS = "idempotency_keys"
    OPERATIONS = "operations"  # with their logs
    TOMBSTONES = "tombstones"
    RACKS = "racks"
    RPC_CLIENTS = "rpc_clients"
    RACK_TOKENS = "rack_tokens"
    SESSIONS = "sessions"
    RELEASED_MACHINES = "released_machines"  # a release deletes those of before; here go the last ones


# Regions may prune at the same time: each skips the rows that another has locked.
_STATEMENTS: Mapping[Kind, str] = {
    Kind.IDEMPOTENCY_KEYS: """
        delete from idempotency_key where (account_id, key) in (
            select k.account_id, k.key from idempotency_key k left join operation o on o.id = k.operation_id
             where k.created_at < now() - $1::interval and o.is_open is not true
               and (k.lease_ends_at is null or k.lease_ends_at < now())
             limit $2 for update of k skip locked)
    """,
    # A removal's children end before it does, so an old operation has no open child.
    Kind.OPERATIONS: """
        delete from operation where id in (
            select o.id from operation o
             where not o.is_open and o.finished_at < now() - $1::interval
               and not exists (select from idempotency_key k where k.operation_id = o.id)
             order by o.finished_at limit $2 for update of o skip locked)
    """,
    Kind.TOMBSTONES: """
        delete from tombstone where machine_uuid in (
            select machine_uuid from tombstone where recorded_at < now() - $1::interval
             limit $2 for update skip locked)
    """,
    Kind.RACKS: """
        delete from rack where id in (
            select id from rack where removed_at is not null
               and greatest(removed_at, certificate_expires_at) < now() - $1::interval
             limit $2 for update skip locked)
    """,
    Kind.RPC_CLIENTS: """
        delete from rpc_client where id in (
            select id from rpc_client where certificate_expires_at < now() - $1::interval
             limit $2 for update skip locked)
    """,
    Kind.RACK_TOKENS: """
        delete from rack_token where secret_hash in (
            select secret_hash from rack_token where expires_at < now() - $1::interval
             limit $2 for update skip locked)
    """,
    Kind.SESSIONS: """
        delete from web_session where id in (
            select id from web_session where idle_ends_at < now() - $1::interval
             limit $2 for update skip locked)
    """,
    Kind.RELEASED_MACHINES: """
        delete from released_machine where system_id in (
            select system_id from released_machine where released_at < now() - $1::interval
             limit $2 for update skip locked)
    """,
}


async def delete_old(db: Db, kind: Kind, period: timedelta, *, limit: int) -> int:
    """Deletes up to `limit` rows that ended longer ago than `period`. Returns the number deleted."""
    return int((await db.execute(_STATEMENTS[kind], period, limit)).rpartition(" ")[2])
