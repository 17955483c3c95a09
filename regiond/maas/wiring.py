"""Builds the room that asks and tells servers of MAAS, and brings what one knew."""

from __future__ import annotations

from functools import partial

from regiond.accounts.imported import UserImports
from regiond.dns.service import Dns
from regiond.events.service import Events
from regiond.maas.bridge.connections import Connections
from regiond.maas.bridge.power import MaasPower
from regiond.maas.bridge.registrations import Registrations
from regiond.maas.bridge.servers import MaasServers
from regiond.maas.bridge.steps import BridgeTools, RegisterInMaas, UnregisterFromMaas
from regiond.maas.bridge.watch import MaasWatch
from regiond.maas.client import MaasClient
from regiond.maas.imports.inventories import Inventories
from regiond.maas.imports.inventory_reading import InventoryReading
from regiond.maas.imports.service import MaasImports
from regiond.maas.imports.steps import ImportMaas
from regiond.maas.imports.work import Rooms
from regiond.maas.parallel.handover import Handover
from regiond.maas.parallel.watch import Comparisons, ParallelWatch
from regiond.maas.services import MaasServices
from regiond.machines.arrivals.adoption.imports import MachineAdoptions
from regiond.machines.hardware.requests import HardwareRequests
from regiond.networks.service import Networks
from regiond.tags.service import Tags
from regiond.wiring.components import MachineLayer, Storage
from regiond.wiring.extension import Built, Layers, RegionExtension

_BRIDGE_DEADLINE_S = 30.0  # of a call of the bridge, for which a machine waits


def wire(layers: Layers) -> Built:
    storage, machines, accounts = layers.storage, layers.machines, layers.accounts
    database, simulated_allowed = storage.database, layers.settings.simulated_hosts is not None
    inventories = Inventories(database, storage.credentials, InventoryReading())
    connections = Connections(database, storage.credentials, partial(MaasClient, deadline_s=_BRIDGE_DEADLINE_S))
    imports = MaasImports(
        database=database,
        operations=machines.operations,
        inventories=inventories,
        credentials=storage.credentials,
        simulated_allowed=simulated_allowed,
    )
    comparisons = Comparisons(database=database, imports=imports, hosts=machines.hosts, credentials=storage.credentials)
    bridge_tools = BridgeTools(database, connections, storage.credentials, layers.addresses.public_url)
    import_steps = ImportMaas(
        rooms=_rooms(storage, machines),
        inventories=inventories,
        current_caller=accounts.accounts.current_caller,
        simulated_allowed=simulated_allowed,
    )
    services = MaasServices(
        maas_servers=MaasServers(database, storage.credentials, connections),
        maas_registrations=_registrations(storage, machines.hardware_requests),
        maas_power=MaasPower(database, machines.machines, machines.operations, accounts.audit),
        maas_imports=imports,
        maas_comparisons=comparisons,
        maas_handover=Handover(
            database=database, imports=imports, comparisons=comparisons, installation_id=storage.installation_id
        ),
    )
    return Built(
        services=services,
        handlers=(
            RegisterInMaas(layers.racks.calls, bridge_tools),
            UnregisterFromMaas(layers.racks.calls, bridge_tools),
            import_steps,
        ),
        tasks=(MaasWatch(database, connections), ParallelWatch(database, comparisons)),
    )


def _registrations(storage: Storage, requests: HardwareRequests) -> Registrations:
    return Registrations(storage.database, requests, storage.credentials, storage.installation_id)


def _rooms(storage: Storage, machines: MachineLayer) -> Rooms:
    database = storage.database
    return Rooms(
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


EXTENSION = RegionExtension(wire=wire, registrations=_registrations)
