"""Replaces the master key: reseals every secret in one transaction, while no region runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from common.errors import WrongState
from regiond.credentials.key_pairs import KEY_NAME
from regiond.credentials.seal import MasterKey, key_id_of, seal, unseal

if TYPE_CHECKING:
    from regiond.db.pool import Db

# A running region would continue to seal with the key that it read at its start.
_RUNNING = """
    select hostname || ' (process ' || pid || ')' as process from region_process
     where seen_at > now() - interval '30 seconds' order by seen_at
"""
_LOCK = "lock table secret, key_pair, deployment in exclusive mode"
_SECRETS = "select host_id, name, sealed from secret order by host_id, name"
_PAIRS = "select id, sealed_key from key_pair order by id"
_WRITE_SEALED = "update secret set sealed = $3 where host_id = $1 and name = $2"
_WRITE_PAIR = "update key_pair set sealed_key = $2 where id = $1"
USER_DATA, VM_HOST_KEY = "user_data", "vm_host_key"
_OF_DEPLOYMENTS = {
    name: (
        f"select id, {column} as sealed from deployment where {column} is not null order by id",  # noqa: S608  constants
        f"update deployment set {column} = $2 where id = $1",  # noqa: S608  constants
    )
    for name, column in ((USER_DATA, "sealed_user_data"), (VM_HOST_KEY, "sealed_vm_host_key"))
}


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
    outdated_secrets = [row for row in secrets if key_id_of(row["sealed"]) != new.id]
    outdated_pairs = [row for row in pairs if key_id_of(row["sealed_key"]) != new.id]
    for host_id, name, sealed in outdated_secrets:
        await db.execute(_WRITE_SEALED, host_id, name, _reseal(old, new, host_id, name, sealed))
    for pair_id, sealed in outdated_pairs:
        await db.execute(_WRITE_PAIR, pair_id, _reseal(old, new, pair_id, KEY_NAME, sealed))
    done, found = len(outdated_secrets) + len(outdated_pairs), len(secrets) + len(pairs)
    for name, (select, write) in _OF_DEPLOYMENTS.items():
        rows = await db.fetch(select)
        outdated = [row for row in rows if key_id_of(row["sealed"]) != new.id]
        for deployment_id, sealed in outdated:
            await db.execute(write, deployment_id, _reseal(old, new, deployment_id, name, sealed))
        done, found = done + len(outdated), found + len(rows)
    return Rewrapped(done=done, before=found - done)


def _reseal(old: MasterKey, new: MasterKey, id_: int, name: str, sealed: bytes) -> bytes:
    return seal(new, id_, name, unseal(old, id_, name, sealed))
