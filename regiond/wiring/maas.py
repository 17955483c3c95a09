"""Builds the room that asks and tells servers of MAAS."""

from __future__ import annotations

from regiond.advertised_addresses import AdvertisedAddresses
from regiond.components import AccountLayer, MaasLayer, MachineLayer, Storage
from regiond.maas.bridge.connections import Connections
from regiond.maas.bridge.power import MaasPower
from regiond.maas.bridge.servers import MaasServers
from regiond.maas.bridge.steps import BridgeTools
from regiond.maas.bridge.watch import MaasWatch
from regiond.maas.client import MaasClient


def wire_maas(
    storage: Storage, machines: MachineLayer, accounts: AccountLayer, addresses: AdvertisedAddresses
) -> MaasLayer:
    database, seal = storage.database, storage.credentials
    connections = Connections(database, seal, MaasClient)
    return MaasLayer(
        maas_servers=MaasServers(database, seal, connections),
        maas_power=MaasPower(database, machines.machines, machines.operations, accounts.audit),
        bridge_tools=BridgeTools(database, connections, seal, addresses.public_url),
        watch=MaasWatch(database, connections),
    )
