"""The made-up MAAS with two hosts that are simulated ones, whose VMs are as MAAS says; the other hosts keep theirs."""

from __future__ import annotations

from typing import Any

from tests.maas_api.rows import Rows
from tests.maas_api.state import Maas
from tests.maas_site.hosts import NORTH, SOUTH
from tests.maas_site.machines import FIRST_NODE, hostname
from tests.maas_site.site import site
from tests.maas_site.tables import Row, Tables

PER_HOST = 3
NAMES = {NORTH: "kvm-north", SOUTH: "kvm-south"}
_FIRST = {NORTH: 0, SOUTH: 10}  # the numbers of their machines
_LINKS = "maasserver_interface_ip_addresses"


def simulated_maas() -> Maas:
    """Its machines are `foreign-0001` and so on of their hosts, without NICs; only those of two hosts are there."""
    tables = site()
    for host in NAMES:
        _simulate(tables, host)
    numbers = [FIRST_NODE + first + one for first in _FIRST.values() for one in range(10)]
    _without_machines(tables, {one for one in numbers if (one - FIRST_NODE) % 10 >= PER_HOST})
    _without_nics(tables, set(numbers))
    return Maas(rows=Rows(tables))


def machine(maas: Maas, host: int, number: int) -> Row:
    """The row of a machine, counted from 0 on its host, which a test changes."""
    return maas.rows.one("node", FIRST_NODE + _FIRST[host] + number)


def remove(maas: Maas, host: int, number: int) -> None:
    """Deletes a machine and its VM, as a person does it in MAAS."""
    tables = maas.rows.tables
    _without_machines(tables, {machine(maas, host, number)["id"]})
    maas.rows = Rows(tables)


def _without_machines(tables: Tables, gone: set[int]) -> None:
    tables["maasserver_node"] = [one for one in tables["maasserver_node"] if one["id"] not in gone]
    tables["maasserver_virtualmachine"] = [
        one for one in tables["maasserver_virtualmachine"] if one["machine_id"] not in gone
    ]


def name_of(host: int, number: int) -> str:
    return hostname(_FIRST[host] + number)


def _simulate(tables: Tables, host: int) -> None:
    (bmc,) = [one for one in tables["maasserver_bmc"] if one["id"] == host]
    address = f"simulated:{NAMES[host]}?cores=8&memory_mib=32768&guests={PER_HOST}"
    bmc |= {"power_type": "simulated", "power_parameters": {"power_address": address}}
    secret = f"bmc/{host}/power-parameters"
    tables["maasserver_secret"] = [one for one in tables["maasserver_secret"] if one["path"] != secret]
    for number in range(10):
        (node,) = [one for one in tables["maasserver_node"] if one["id"] == FIRST_NODE + _FIRST[host] + number]
        node |= {
            "instance_power_parameters": {"instance_name": f"foreign-{number + 1:04}"}, "cpu_count": 1, "memory": 1024,
            "power_state": "on",
        }  # fmt: skip


def _without_nics(tables: Tables, nodes: set[Any]) -> None:
    configurations = {one["id"] for one in tables["maasserver_nodeconfig"] if one["node_id"] in nodes}
    gone = {one["id"] for one in tables["maasserver_interface"] if one["node_config_id"] in configurations}
    addresses = {one["staticipaddress_id"] for one in tables[_LINKS] if one["interface_id"] in gone}
    tables["maasserver_interface"] = [one for one in tables["maasserver_interface"] if one["id"] not in gone]
    tables[_LINKS] = [one for one in tables[_LINKS] if one["interface_id"] not in gone]
    tables["maasserver_staticipaddress"] = [
        one for one in tables["maasserver_staticipaddress"] if one["id"] not in addresses
    ]
