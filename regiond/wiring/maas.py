"""Builds the import from MAAS."""

from __future__ import annotations

from regiond.accounts.imported import UserImports
from regiond.accounts.service import Grants
from regiond.components import AccountLayer, MaasLayer, MachineLayer, Storage
from regiond.dns.service import Dns
from regiond.events.service import Events
from regiond.maas.imports.inventories import Inventories
from regiond.maas.imports.steps import ImportMaas
from regiond.maas.imports.work import Rooms
from regiond.maas.service import MaasImports
from regiond.machines.adoption.service import MachineAdoptions
from regiond.networks.service import Networks
from regiond.settings import RegionSettings
from regiond.tags.service import Tags


def wire_maas(settings: RegionSettings, storage: Storage, machines: MachineLayer, accounts: AccountLayer) -> MaasLayer:
    database, simulated_allowed = storage.database, settings.simulated_hosts is not None
    inventories = Inventories(database, storage.credentials)
    rooms = Rooms(
        database=database,
        groups=machines.groups,
        tags=Tags(database),
        networks=Networks(database),
        dns=Dns(database),
        users=UserImports(database, record_event=Events.record),
        grants=Grants(database, record_event=Events.record, on_change=accounts.accounts.forget_cached),
        hosts=machines.hosts,
        clusters=machines.clusters,
        adoptions=MachineAdoptions(
            database=database, hosts=machines.hosts, groups=machines.groups, installation_id=storage.installation_id
        ),
    )
    return MaasLayer(
        maas_imports=MaasImports(
            database=database,
            operations=machines.operations,
            inventories=inventories,
            simulated_allowed=simulated_allowed,
        ),
        import_steps=ImportMaas(
            rooms=rooms,
            inventories=inventories,
            current_caller=accounts.accounts.current_caller,
            simulated_allowed=simulated_allowed,
        ),
    )
