"""Public functions on credentials: host secrets, key pairs, the master key.

Functions and methods that take `db` join the caller's transaction.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from regiond.credentials import store
from regiond.credentials.api_key_secrets import ApiKeySecrets
from regiond.credentials.certificates import make_ssh_key_pair, read_key_pair, same_certificate
from regiond.credentials.key_pair_store import (
    addresses_of_key_pair,
    assign_key_pair,
    claim_expiry_notices,
    clear_retired_certificate,
    delete_key_pair,
    drop_unused_key_pair,
    finish_replacement,
    hosts_of_key_pair,
    keep_key_pair,
    key_pair_at_address,
    key_pair_is_used,
    key_pair_of_host,
    key_pair_of_same_server,
    leave_key_pair,
    lock_key_pair,
    lock_key_pair_address,
    move_hosts_to_key_pair,
    related_certificates,
    replacement_of,
    retired_certificate,
    stay_with_key_pair,
)
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.master_key import (
    CREDENTIAL,
    install_key,
    is_systemd_credential,
    open_key_file,
    open_master_key,
)
from regiond.credentials.model import read_trust_token, unusable_token
from regiond.credentials.rewrap import (
    BULK_USER_DATA,
    MAAS_IMPORT_KEY,
    MAAS_INVENTORY,
    MAAS_KEY,
    MAAS_POWER_TOKEN,
    REQUEST_KEY,
    USER_DATA,
    VM_HOST_KEY,
    answer_name,
    rewrap,
)
from regiond.credentials.seal import MasterKey, check, seal, unseal
from regiond.credentials.sent_store import (
    KEY_PAIR,
    credentials_sent_to,
    drop_sent,
    is_sent,
    racks_that_expose,
    record_forgotten,
    record_sent,
)
from regiond.db.pool import Db

__all__ = [
    "BULK_USER_DATA",
    "CREDENTIAL",
    "KEY_PAIR",
    "MAAS_IMPORT_KEY",
    "MAAS_INVENTORY",
    "MAAS_KEY",
    "MAAS_POWER_TOKEN",
    "REQUEST_KEY",
    "USER_DATA",
    "VM_HOST_KEY",
    "Credentials",
    "KeyPairs",
    "MasterKey",
    "addresses_of_key_pair",
    "answer_name",
    "assign_key_pair",
    "check",
    "claim_expiry_notices",
    "clear_retired_certificate",
    "credentials_sent_to",
    "delete_key_pair",
    "drop_unused_key_pair",
    "finish_replacement",
    "hosts_of_key_pair",
    "install_key",
    "is_sent",
    "is_systemd_credential",
    "keep_key_pair",
    "key_pair_at_address",
    "key_pair_is_used",
    "key_pair_of_host",
    "key_pair_of_same_server",
    "leave_key_pair",
    "lock_key_pair",
    "lock_key_pair_address",
    "make_ssh_key_pair",
    "move_hosts_to_key_pair",
    "open_key_file",
    "open_master_key",
    "racks_that_expose",
    "read_key_pair",
    "read_trust_token",
    "record_forgotten",
    "record_sent",
    "related_certificates",
    "replacement_of",
    "retired_certificate",
    "rewrap",
    "same_certificate",
    "stay_with_key_pair",
    "unusable_token",
]


class Credentials:
    """Secrets of hosts, encrypted in the database. Their names are those of `HostAccess.credentials`."""

    def __init__(self, key: MasterKey) -> None:
        self._key = key

    def of_api_keys(self) -> ApiKeySecrets:
        """The secrets of API keys, sealed with the same master key."""
        return ApiKeySecrets(self._key)

    async def store(self, db: Db, host_id: int, secrets: Mapping[str, str]) -> None:
        """Stores each secret under its name and leaves other names unchanged. Idempotent.

        Which racks were sent a secret that another one replaces no longer matters.
        """
        before = await self.load(db, host_id)
        for name, text in sorted(secrets.items()):
            await store.put(db, host_id, name, seal(self._key, host_id, name, text))
        await drop_sent(db, host_id, [name for name, text in secrets.items() if before.get(name, text) != text])

    async def load(self, db: Db, host_id: int) -> dict[str, str]:
        """Returns all secrets of the host by name. Raises BadSettings if one cannot be decrypted."""
        sealed = await store.of_host(db, host_id)
        return {name: unseal(self._key, host_id, name, blob) for name, blob in sealed.items()}

    async def delete(self, db: Db, host_id: int, names: Iterable[str] | None = None) -> None:
        """Deletes the named secrets of the host; None: all. Idempotent. Deleting the host deletes them too."""
        await store.delete(db, host_id, names)

    def seal_data(self, id_: int, name: str, data: bytes) -> bytes:
        """Seals what belongs to no host, such as the user data of a deployment, whose id is authenticated too."""
        return seal(self._key, id_, name, base64.b64encode(data).decode())

    def unseal_data(self, id_: int, name: str, sealed: bytes) -> bytes:
        """Raises BadSettings as `unseal`."""
        return base64.b64decode(unseal(self._key, id_, name, sealed))

    async def check(self, db: Db) -> None:
        """Raises BadSettings if the database contains secrets that another master key sealed. For the start."""
        for sealed in await store.samples(db):
            check(self._key, sealed)
