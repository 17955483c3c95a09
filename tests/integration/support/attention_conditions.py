"""One way to make each condition that needs attention, with who may see it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import frozen

from regiond.attention.model import AttentionKind, ObjectType
from regiond.db.pool import Db

_K, _T = AttentionKind, ObjectType


class SeenBy(StrEnum):
    POOL = "everybody with a role in the resource pool"
    OWNER = "the same, and the owner of the VM"
    ACCOUNT = "the account"
    ADMINS = "administrators"


@frozen(kw_only=True)
class Place:
    """A host, one of its VMs, and the account that owns the VM."""

    host_id: int
    system_id: str
    account_id: int


@frozen(kw_only=True)
class Condition:
    """`sql` makes it: $1 is the host, $2 the system id of the VM, $3 the account."""

    kind: AttentionKind
    object_type: ObjectType
    seen_by: SeenBy
    sql: str

    async def make(self, db: Db, place: Place) -> None:
        values = (place.host_id, place.system_id, place.account_id)
        # PostgreSQL rejects parameters that no part of a statement uses.
        await db.execute(f"with given as (select $1::integer, $2::text, $3::integer) {self.sql}", *values)


def _vm(kind: AttentionKind, state: str) -> Condition:
    sql = f"update machine set state = '{state}', missing_since = {'now()' if state == 'missing' else 'null'}"  # noqa: S608
    return Condition(kind=kind, object_type=_T.VM, seen_by=SeenBy.OWNER, sql=f"{sql} where system_id = $2")


def _host(kind: AttentionKind, change: str) -> Condition:
    sql = f"update vm_host set {change} where id = $1"  # noqa: S608
    return Condition(kind=kind, object_type=_T.HOST, seen_by=SeenBy.POOL, sql=sql)


def _pool(kind: AttentionKind, change: str) -> Condition:
    sql = f"update storage_pool set {change} where server_id = (select server_id from vm_host where id = $1)"  # noqa: S608
    return Condition(kind=kind, object_type=_T.STORAGE_POOL, seen_by=SeenBy.POOL, sql=sql)


CONDITIONS: Mapping[str, Condition] = {
    "missing": _vm(_K.VM_MISSING, "missing"),
    "broken": _vm(_K.VM_BROKEN, "broken"),
    "failed deployment": _vm(_K.VM_FAILED_DEPLOYMENT, "failed_deployment"),
    "failed compose": _vm(_K.VM_FAILED_COMPOSE, "failed_compose"),
    "failed release": _vm(_K.VM_FAILED, "failed"),
    "lost volume": Condition(
        kind=_K.VM_VOLUME_MISSING, object_type=_T.VM, seen_by=SeenBy.OWNER,
        sql="""update guest g set disks = '[{"volume": "root", "missing": true}]' from machine m
                where m.id = g.machine_id and m.system_id = $2""",
    ),
    "off with its host": Condition(
        kind=_K.VM_SHOULD_RUN, object_type=_T.VM, seen_by=SeenBy.OWNER,
        sql="""update machine set wanted_power = 'on', power_state = 'off', stopped_with = 'host', start_tries = 1
                where system_id = $2""",
    ),
    "off for an unclear reason": Condition(
        kind=_K.VM_SHOULD_RUN, object_type=_T.VM, seen_by=SeenBy.OWNER,
        sql="""update machine set wanted_power = 'on', power_state = 'off', stopped_with = 'unclear'
                where system_id = $2""",
    ),
    "unreachable": _host(_K.HOST_UNREACHABLE, "state = 'unreachable', error_code = 'host_unreachable'"),
    "unreachable without an error": _host(_K.HOST_UNREACHABLE, "state = 'unreachable'"),
    "never reached": _host(_K.HOST_UNREACHABLE, "state = 'pending', error_code = 'driver_failed'"),
    "rejected": _host(_K.HOST_REJECTED, "state = 'unreachable', error_code = 'peer_changed'"),
    "unconfirmed": _host(_K.HOST_REJECTED, "state = 'unreachable', error_code = 'server_unconfirmed'"),
    "not trusted": _host(_K.HOST_NOT_TRUSTED, "state = 'pending', error_code = 'not_trusted'"),
    "old data": Condition(
        kind=_K.HOST_STALE, object_type=_T.HOST, seen_by=SeenBy.POOL,
        sql="update vm_host_schedule set refreshed_at = now() - interval '3 hours' where host_id = $1",
    ),
    "over-committed cores": _host(_K.HOST_OVERCOMMITTED, "cpu_over_commit_ratio = 0"),
    "over-committed RAM": _host(_K.HOST_OVERCOMMITTED, "reserved_memory_mib = 10000000"),
    "problem": _host(_K.HOST_PROBLEM, """problems = '[{"subject": "guest x", "message": "odd"}]'"""),
    "pool unavailable": _pool(_K.STORAGE_POOL_UNAVAILABLE, "status = 'errored'"),
    "pool missing": _pool(_K.STORAGE_POOL_UNAVAILABLE, "missing_since = now()"),
    "pool full": _pool(_K.STORAGE_POOL_FULL, "used_elsewhere_bytes = total_bytes"),
    "our certificate": Condition(
        kind=_K.CERTIFICATE_EXPIRING, object_type=_T.HOST, seen_by=SeenBy.POOL,
        sql=""", pair as (insert into key_pair (certificate_pem, fingerprint, expires_at, sealed_key)
                          values ('', 'ab', now() + interval '5 days', '') returning id)
               update vm_host h set key_pair_id = pair.id from pair where h.id = $1""",
    ),
    "pinned certificate": _host(_K.SERVER_CERTIFICATE_EXPIRING, "pinned_expires_at = now() + interval '5 days'"),
    "client certificate": Condition(
        kind=_K.CLIENT_CERTIFICATE_EXPIRING, object_type=_T.RPC_CLIENT, seen_by=SeenBy.ACCOUNT,
        sql="""insert into rpc_client (id, name, account_id, certificate_fingerprint, certificate_expires_at)
               values (gen_random_uuid(), 'client-' || $2, $3, 'ab', now() - interval '1 hour')""",
    ),
    "certificate of a rack": Condition(
        kind=_K.CERTIFICATE_EXPIRING, object_type=_T.RACK, seen_by=SeenBy.ADMINS,
        sql="update rack set certificate_expires_at = now() + interval '5 hours'",
    ),
    "rack": Condition(
        kind=_K.RACK_AWAY, object_type=_T.RACK, seen_by=SeenBy.ADMINS,
        sql="""insert into rack (id, name, certificate_fingerprint, certificate_expires_at)
               values (gen_random_uuid(), 'rack-' || $2, 'ab', now() + interval '5 days')""",
    ),
    "backup": Condition(
        kind=_K.BACKUP_OLD, object_type=_T.REGION, seen_by=SeenBy.ADMINS,
        sql="insert into region_backup (saved_at, read_back) values (now() - interval '49 hours', true)",
    ),
    "discrepancy": Condition(
        kind=_K.DISCREPANCY, object_type=_T.DISCREPANCY, seen_by=SeenBy.ADMINS,
        sql="""insert into discrepancy (kind, key, name, found, expected, remedy, ours, data_at_risk, repair_policy,
                                        host_id, system_id)
               values ('unknown_guest', $2, 'odd', 'a guest', 'none', 'Delete it.', false, true, 'approval', $1, $2)""",
    ),
    "task of a host": Condition(
        kind=_K.OPERATION_WAITING, object_type=_T.OPERATION, seen_by=SeenBy.POOL,
        sql="""insert into operation (kind, state, host_id, max_failures, created_at, account_id, not_before)
               values ('refresh', 'waiting', $1, 5, now() - interval '1 hour', 1, now() + interval '1 day')""",
    ),
    "task of a VM": Condition(
        kind=_K.OPERATION_WAITING, object_type=_T.OPERATION, seen_by=SeenBy.OWNER,
        sql="""insert into operation (kind, state, host_id, machine_id, system_id, max_failures, created_at,
                                      account_id, not_before)
               select 'power', 'waiting', $1, id, $2, 5, now() - interval '1 hour', 1, now() + interval '1 day'
                 from machine where system_id = $2""",
    ),
    "task of an account": Condition(
        kind=_K.OPERATION_WAITING, object_type=_T.OPERATION, seen_by=SeenBy.ACCOUNT,
        sql="""insert into operation (kind, state, max_failures, created_at, account_id, not_before)
               values ('refresh', 'waiting', 5, now() - interval '1 hour', $3, now() + interval '1 day')""",
    ),
    "image": Condition(
        kind=_K.IMAGE_FAILED, object_type=_T.IMAGE, seen_by=SeenBy.ACCOUNT,
        sql="""insert into image (name, architecture, sha256, size_bytes, state, error, store_id, account_id)
               values ('custom/' || $2, 'amd64', '', 0, 'failed', '404', gen_random_uuid(), $3)""",
    ),
}  # fmt: skip
