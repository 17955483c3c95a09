"""Builds the room that asks and tells servers of MAAS."""

from __future__ import annotations

from regiond.components import MaasLayer, Storage
from regiond.maas.bridge.connections import Connections
from regiond.maas.bridge.servers import MaasServers
from regiond.maas.client import MaasClient


def wire_maas(storage: Storage) -> MaasLayer:
    connections = Connections(storage.database, storage.credentials, MaasClient)
    return MaasLayer(maas_servers=MaasServers(storage.database, storage.credentials, connections))
