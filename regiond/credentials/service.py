"""The credentials of hosts: sealed in the database, open only on their way to a rack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from regiond.credentials import store
from regiond.credentials.seal import MasterKey, check, seal, unseal

if TYPE_CHECKING:
    from regiond.db.pool import Db


class Credentials:
    """Every method works inside the caller's transaction. Names are those of `HostAccess.credentials`."""

    def __init__(self, key: MasterKey) -> None:
        self._key = key

    async def store(self, db: Db, host_id: int, secrets: Mapping[str, str]) -> None:
        """Keep each text under its name, in place of what was there; other names stay."""
        for name, text in sorted(secrets.items()):
            await store.put(db, host_id, name, seal(self._key, host_id, name, text))

    async def load(self, db: Db, host_id: int) -> dict[str, str]:
        """All secrets of the host, by name; empty when it has none. Raises BadSettings when they cannot be opened."""
        sealed = await store.of_host(db, host_id)
        return {name: unseal(self._key, host_id, name, blob) for name, blob in sealed.items()}

    async def forget(self, db: Db, host_id: int, names: Iterable[str] | None = None) -> None:
        """Delete the named secrets of the host, or all. With the host's row they go by themselves."""
        await store.delete(db, host_id, names)

    async def check(self, db: Db) -> None:
        """For the start: raises BadSettings when the database holds secrets sealed with another master key."""
        for sealed in await store.samples(db):
            check(self._key, sealed)
