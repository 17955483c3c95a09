"""Public functions on credentials: host secrets, key pairs, the master key.

Functions and methods that take `db` join the caller's transaction.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from regiond.credentials import store
from regiond.credentials.api_key_secrets import ApiKeySecrets
from regiond.credentials.seal import MasterKey, check, seal, unseal
from regiond.credentials.sent_store import (
    drop_sent,
)
from regiond.db.pool import Db


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
