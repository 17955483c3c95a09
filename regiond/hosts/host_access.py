"""Reads the address and the secrets that a rack needs to call a host."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from common.values import DriverType, HostAccess
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.hosts import store

_USED_BY_RACKS = ("ssh_private_key",)  # `power_pass` is stored for clients that send it; no driver uses it


class HostAccessReader:
    def __init__(
        self, database: Database, credentials: Credentials, key_pairs: KeyPairs, *, installation_id: UUID
    ) -> None:
        self._database = database
        self._credentials = credentials
        self._key_pairs = key_pairs
        self._installation_id = installation_id

    async def read(self, host_id: int) -> HostAccess:
        """Returns the host's address with its secrets, for one call; do not store it. Raises NotFound."""
        async with self._database.connection() as db:
            host = await store.read_connection(db, host_id)
            secrets: Mapping[str, str] = {}
            if host.driver is DriverType.LXD:
                pair = await self._key_pairs.of_host(db, host_id)
                secrets = pair.credentials if pair is not None else {}
            elif host.has_secrets:
                stored = await self._credentials.load(db, host_id)
                secrets = {name: text for name, text in stored.items() if name in _USED_BY_RACKS}
        return HostAccess(
            host_id=host_id,
            driver=host.driver,
            address=host.address,
            project=host.project,
            member=host.member,
            installation_id=self._installation_id,
            credentials=secrets,
            pinned=host.pinned,
            product=host.product,
        )
