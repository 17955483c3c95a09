"""Builds the room that asks and tells servers of MAAS, and brings what one knew."""

from __future__ import annotations

from functools import partial

from regiond.accounts.imported import UserImports
from regiond.advertised_addresses import AdvertisedAddresses
from regiond.components import AccountLayer, MaasLayer, MachineLayer, Storage
from regiond.dns.service import Dns
from regiond.events.service import Events
from regiond.maas.bridge.connections import Connections
from regiond.maas.bridge.power import MaasPower
from regiond.maas.bridge.servers import MaasServers
from regiond.maas.bridge.steps import BridgeTools
from regiond.maas.bridge.watch import MaasWatch
from regiond.maas.client import MaasClient
from regiond.maas.imports.inventories import Inventories
from regiond.maas.imports.inventory_reading import InventoryReading
from regiond.maas.imports.service import MaasImports
from regiond.maas.imports.steps import ImportMaas
from regiond.maas.imports.work import Rooms
from regiond.maas.parallel.handover import Handover
from regiond.maas.parallel.watch import Comparisons, ParallelWatch
from regiond.machines.service import MachineAdoptions
from regiond.networks.service import Networks
from regiond.settings import RegionSettings
from regiond.tags.service import Tags

_BRIDGE_DEADLINE_S = 30.0  # of a call of the bridge, for which a machine waits


def wire_maas(
    settings: RegionSettings,
    storage: Storage,
    machines: MachineLayer,
    accounts: AccountLayer,
    addresses: AdvertisedAddresses,
) -> MaasLayer:
    database, simulated_allowed = storage.database, settings.simulated_hosts is not None
    inventories = Inventories(database, storage.credentials, InventoryReading())
    connections = Connections(database, storage.credentials, partial(MaasClient, deadline_s=_BRIDGE_DEADLINE_S))
    rooms = Rooms(
        database=database,
        groups=machines.groups,
        tags=Tags(database),
        networks=Networks(database),
        dns=Dns(database),
        users=UserImports(database, record_event=Events.record),
        hosts=machines.hosts,
        clusters=machines.clusters,
        adoptions=MachineAdoptions(
            database=database, hosts=machines.hosts, groups=machines.groups, installation_id=storage.installation_id
        ),
    )
    imports = MaasImports(
        database=database,
        operations=machines.operations,
        inventories=inventories,
        credentials=storage.credentials,
        simulated_allowed=simulated_allowed,
    )
    comparisons = Comparisons(database=database, imports=imports, hosts=machines.hosts, credentials=storage.credentials)
    return MaasLayer(
        maas_servers=MaasServers(database, storage.credentials, connections),
        maas_power=MaasPower(database, machines.machines, machines.operations, accounts.audit),
        bridge_tools=BridgeTools(database, connections, storage.credentials, addresses.public_url),
        watch=MaasWatch(database, connections),
        parallel_watch=ParallelWatch(database, comparisons),
        maas_imports=imports,
        maas_comparisons=comparisons,
        maas_handover=Handover(
            database=database, imports=imports, comparisons=comparisons, installation_id=storage.installation_id
        ),
        import_steps=ImportMaas(
            rooms=rooms,
            inventories=inventories,
            current_caller=accounts.accounts.current_caller,
            simulated_allowed=simulated_allowed,
        ),
    )
