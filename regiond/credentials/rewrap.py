"""Replaces the master key: reseals every secret in one transaction, while no region runs."""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg
from attrs import frozen

from common.errors import WrongState
from regiond.credentials.api_key_secrets import NO_HOST, api_key_name
from regiond.credentials.key_pairs import KEY_NAME
from regiond.credentials.seal import MasterKey, key_id_of, seal, unseal
from regiond.db.pool import Db

# A running region would continue to seal with the key that it read at its start.
_RUNNING = """
    select hostname || ' (process ' || pid || ')' as process from region_process
     where seen_at > now() - interval '30 seconds' order by seen_at
"""
_LOCK = (
    "lock table secret, key_pair, deployment, bulk_user_data, api_key, idempotency_key, installation, maas_import, "
    "maas_server, maas_registration in exclusive mode"
)
_SECRETS = "select host_id, name, sealed from secret order by host_id, name"
_PAIRS = "select id, sealed_key as sealed from key_pair order by id"
_WRITE_SEALED = "update secret set sealed = $3 where host_id = $1 and name = $2"
_WRITE_PAIR = "update key_pair set sealed_key = $2 where id = $1"
USER_DATA, BULK_USER_DATA, VM_HOST_KEY, REQUEST_KEY = "user_data", "bulk_user_data", "vm_host_key", "request_key"
MAAS_INVENTORY = "maas_inventory"
_USER_DATA = "select id, sealed_user_data as sealed from deployment where sealed_user_data is not null order by id"
_WRITE_USER_DATA = "update deployment set sealed_user_data = $2 where id = $1"
_BULK_USER_DATA = "select operation_id as id, sealed_user_data as sealed from bulk_user_data order by operation_id"
_WRITE_BULK_USER_DATA = "update bulk_user_data set sealed_user_data = $2 where operation_id = $1"
_MAAS_INVENTORIES = (
    "select id, sealed_inventory as sealed from maas_import where sealed_inventory is not null order by id"
)
_WRITE_MAAS_INVENTORY = "update maas_import set sealed_inventory = $2 where id = $1"
_VM_HOST_KEYS = (
    "select id, sealed_vm_host_key as sealed from deployment where sealed_vm_host_key is not null order by id"
)
_API_KEYS = """
    select token_key, sealed_token_secret as sealed from api_key where sealed_token_secret is not null order by id
"""
_WRITE_API_KEY = "update api_key set sealed_token_secret = $2 where token_key = $1"
_WRITE_VM_HOST_KEY = "update deployment set sealed_vm_host_key = $2 where id = $1"
_ANSWERS = """
    select account_id, key, sealed_answer as sealed from idempotency_key where sealed_answer is not null
     order by account_id, key
"""
_WRITE_ANSWER = "update idempotency_key set sealed_answer = $3 where account_id = $1 and key = $2"
_REQUEST_KEYS = "select 0 as id, sealed_request_key as sealed from installation where sealed_request_key is not null"
MAAS_KEY, MAAS_POWER_TOKEN, MAAS_IMPORT_KEY = "maas_key", "maas_power_token", "maas_import_key"
_MAAS_IMPORT_KEYS = "select id, sealed_key as sealed from maas_import where sealed_key is not null order by id"
_WRITE_MAAS_IMPORT_KEY = "update maas_import set sealed_key = $2 where id = $1"
_MAAS_KEYS = "select id, sealed_key as sealed from maas_server where sealed_key is not null order by id"
_WRITE_MAAS_KEY = "update maas_server set sealed_key = $2 where id = $1"
_MAAS_TOKENS = "select id, sealed_token as sealed from maas_registration where sealed_token is not null order by id"
_WRITE_MAAS_TOKEN = "update maas_registration set sealed_token = $2 where id = $1"  # noqa: S105  # SQL
_WRITE_REQUEST_KEY = "update installation set sealed_request_key = $1"


@frozen(kw_only=True)
class Rewrapped:
    """`done` secrets were resealed; `before` were already sealed with the new key."""

    done: int
    before: int


async def rewrap(db: Db, old: MasterKey, new: MasterKey) -> Rewrapped:
    """Reseals every secret with `new`, in the caller's transaction. Idempotent.

    Raises WrongState while a region runs; BadSettings if a secret is sealed with neither key.
    """
    running = [row["process"] for row in await db.fetch(_RUNNING)]
    if running:
        raise WrongState(f"Stop every region first. Running, or killed less than 30 s ago: {', '.join(running)}.")
    await db.execute(_LOCK)
    secrets, pairs = await db.fetch(_SECRETS), await db.fetch(_PAIRS)
    user_data, host_keys = await db.fetch(_USER_DATA), await db.fetch(_VM_HOST_KEYS)
    bulk_user_data, api_keys = await db.fetch(_BULK_USER_DATA), await db.fetch(_API_KEYS)
    answers, request_keys = await db.fetch(_ANSWERS), await db.fetch(_REQUEST_KEYS)
    inventories, import_keys = await db.fetch(_MAAS_INVENTORIES), await db.fetch(_MAAS_IMPORT_KEYS)
    maas_keys, maas_tokens = await db.fetch(_MAAS_KEYS), await db.fetch(_MAAS_TOKENS)
    rows = [*secrets, *pairs, *user_data, *bulk_user_data, *host_keys, *api_keys, *answers, *request_keys]
    rows += [*inventories, *import_keys, *maas_keys, *maas_tokens]
    for host_id, name, sealed in _outdated(secrets, new):
        await db.execute(_WRITE_SEALED, host_id, name, _reseal(old, new, host_id, name, sealed))
    for id_, sealed in _outdated(pairs, new):
        await db.execute(_WRITE_PAIR, id_, _reseal(old, new, id_, KEY_NAME, sealed))
    for id_, sealed in _outdated(user_data, new):
        await db.execute(_WRITE_USER_DATA, id_, _reseal(old, new, id_, USER_DATA, sealed))
    for id_, sealed in _outdated(bulk_user_data, new):
        await db.execute(_WRITE_BULK_USER_DATA, id_, _reseal(old, new, id_, BULK_USER_DATA, sealed))
    for id_, sealed in _outdated(host_keys, new):
        await db.execute(_WRITE_VM_HOST_KEY, id_, _reseal(old, new, id_, VM_HOST_KEY, sealed))
    for token_key, sealed in _outdated(api_keys, new):
        await db.execute(_WRITE_API_KEY, token_key, _reseal(old, new, NO_HOST, api_key_name(token_key), sealed))
    for account_id, key, sealed in _outdated(answers, new):
        await db.execute(_WRITE_ANSWER, account_id, key, _reseal(old, new, account_id, answer_name(key), sealed))
    for id_, sealed in _outdated(request_keys, new):
        await db.execute(_WRITE_REQUEST_KEY, _reseal(old, new, id_, REQUEST_KEY, sealed))
    for found, name, statement in (
        (inventories, MAAS_INVENTORY, _WRITE_MAAS_INVENTORY), (import_keys, MAAS_IMPORT_KEY, _WRITE_MAAS_IMPORT_KEY),
        (maas_keys, MAAS_KEY, _WRITE_MAAS_KEY), (maas_tokens, MAAS_POWER_TOKEN, _WRITE_MAAS_TOKEN),
    ):  # fmt: skip
        for id_, sealed in _outdated(found, new):
            await db.execute(statement, id_, _reseal(old, new, id_, name, sealed))
    done = len(_outdated(rows, new))
    return Rewrapped(done=done, before=len(rows) - done)


def answer_name(key: str) -> str:
    """The name under which the answer of a request with this idempotency key is sealed, with its account as id."""
    return f"idempotency_key {key}"


def _outdated(rows: Iterable[asyncpg.Record], new: MasterKey) -> list[asyncpg.Record]:
    return [row for row in rows if key_id_of(row["sealed"]) != new.id]


def _reseal(old: MasterKey, new: MasterKey, id_: int, name: str, sealed: bytes) -> bytes:
    return seal(new, id_, name, unseal(old, id_, name, sealed))
