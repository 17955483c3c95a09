"""Stores the public SSH keys of users, for the machines that they will deploy."""

from __future__ import annotations

from common.errors import InvalidRequest, Unsupported
from regiond.accounts import ssh_key_store
from regiond.accounts.grants import RecordEvent
from regiond.accounts.model import SshKey
from regiond.accounts.ssh_public_key import parse_public_key
from regiond.db.pool import Database
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.validation_messages import existing

MAX_SSH_KEYS = 100  # of one user


class SshKeys:
    """Methods with a caller act on the caller's own keys."""

    def __init__(self, database: Database, *, record_event: RecordEvent) -> None:
        self._database = database
        self._record_event = record_event

    async def list(self, caller: Caller) -> tuple[SshKey, ...]:
        async with self._database.connection() as db:
            return await ssh_key_store.list_keys(db, caller.account_id)

    async def count_of(self, username: str) -> int:
        """Returns the number of keys of the user, which a deployment installs."""
        async with self._database.connection() as db:
            return len(await ssh_key_store.ssh_keys_of_user(db, username))

    async def read(self, caller: Caller, key_id: int) -> SshKey:
        """Raises NotFound."""
        async with self._database.connection() as db:
            return existing(await ssh_key_store.read(db, caller.account_id, key_id), "SSH key of yours", key_id)

    async def add(self, caller: Caller, text: str) -> SshKey:
        """Raises InvalidRequest for the field `key`: it is invalid, weak or stored already."""
        key = parse_public_key(text)
        async with self._database.transaction() as db:
            if await ssh_key_store.count(db, caller.account_id) >= MAX_SSH_KEYS:
                raise InvalidRequest.of({"key": [f"You have {MAX_SSH_KEYS} SSH keys; delete one first."]})
            stored = await ssh_key_store.insert(db, caller.account_id, key)
            if stored is None:
                raise InvalidRequest.of({"key": [f"You have this key already: {key.fingerprint}."]})
            message = f"{caller.username} added the SSH key {key.fingerprint}."
            await self._record_event(db, "ssh_key_added", message, caller=caller)
        return stored

    async def import_from(self, caller: Caller, source: str) -> tuple[SshKey, ...]:
        """Raises Unsupported: a region makes no requests to the internet."""
        raise Unsupported(
            f"Innkeeper does not fetch keys from {source or 'Launchpad or GitHub'}. Download them and add each: "
            "sshkeys create key@=FILE"
        )

    async def delete(self, caller: Caller, key_id: int, *, dry_run: bool = False) -> DeletionPlan:
        """Raises NotFound."""
        async with self._database.transaction(dry_run=dry_run) as db:
            key = existing(await ssh_key_store.read(db, caller.account_id, key_id), "SSH key of yours", key_id)
            await ssh_key_store.delete(db, caller.account_id, key_id)
            message = f"{caller.username} deleted the SSH key {key.fingerprint}."
            await self._record_event(db, "ssh_key_deleted", message, caller=caller)
        return DeletionPlan(
            name=key.fingerprint,
            deleted=(AffectedRecord(kind="SSH key", id=str(key.id), name=key.fingerprint),),
            effects=("Machines that have the key already are not changed.",),
        )
