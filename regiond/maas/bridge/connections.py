"""Connects to a stored MAAS server, whose key is unsealed for that only."""

from __future__ import annotations

from attrs import frozen

from common.errors import NotFound
from regiond.credentials.rewrap import MAAS_KEY
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.maas.access import MaasAccess
from regiond.maas.bridge import server_store
from regiond.maas.bridge.maas_api import Connect, MaasApi
from regiond.maas.bridge.model import MaasServer


@frozen
class Connections:
    database: Database
    seal: Credentials
    connect: Connect

    def to(self, access: MaasAccess) -> MaasApi:
        return self.connect(access)

    async def open(self, server_id: int) -> tuple[MaasServer, MaasApi]:
        """Returns the server and a client for it. Raises NotFound; calls nothing there."""
        server, key = await self.read(server_id)
        return server, self.connect(server.with_key(key))

    async def read(self, server_id: int) -> tuple[MaasServer, str]:
        """Returns the server and its key. Raises NotFound."""
        async with self.database.connection() as db:
            server = await server_store.server_of_id(db, server_id)
            sealed = await server_store.sealed_key(db, server_id)
        if server is None or sealed is None:
            raise NotFound("The MAAS server has just been removed.")
        return server, self.seal.unseal_data(server_id, MAAS_KEY, sealed).decode()
