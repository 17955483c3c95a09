"""Makes the inventory of the rows of a database of MAAS. Pure."""

from __future__ import annotations

import attrs

from common.maas.inventory import Inventory, Origin, SourceKind
from innkeeper.maas_import.disks import Disks
from innkeeper.maas_import.hosts import hosts_of, setting
from innkeeper.maas_import.interfaces import Interfaces
from innkeeper.maas_import.machines import Machines
from innkeeper.maas_import.networks import networks_of
from innkeeper.maas_import.people import users_of
from innkeeper.maas_import.references import References
from innkeeper.maas_import.schema import recognise
from innkeeper.maas_import.tables import Tables
from innkeeper.maas_import.user_groups import groups_left_out


def inventory_of(tables: Tables, *, kind: SourceKind, label: str, source: str) -> Inventory:
    """Returns what the database knew. Raises InvalidRequest for an unknown schema, or rows that are none of MAAS.

    `source` begins messages: `The dump site.sql`.
    """
    schema = recognise(tables, source)
    names = References.of(tables)
    networks = networks_of(tables, names)
    hosts = hosts_of(tables, names, complete=schema.complete)
    interfaces = Interfaces(tables, names)
    machines = Machines(tables, names, interfaces, Disks(tables))
    by_id = {host.id: host for host in hosts.hosts}
    found = machines.of(by_id)
    return Inventory(
        origin=Origin(
            kind=kind,
            label=label,
            version=schema.version,
            uuid=setting(tables, "uuid"),
            name=setting(tables, "maas_name"),
        ),
        users=users_of(tables),
        clusters=hosts.clusters,
        hosts=hosts.hosts,
        machines=found,
        reserved_addresses=interfaces.reserved(found),
        left_out=(*groups_left_out(tables), *hosts.left_out, *machines.left_out(by_id)),
        **attrs.asdict(networks, recurse=False),
    )
