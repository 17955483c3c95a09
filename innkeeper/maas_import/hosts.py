"""VM hosts and clusters of MAAS, with the secrets that the database has. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from attrs import frozen

from common.maas.inventory import Cluster, Host, LeftOut
from innkeeper.maas_import.references import References, named
from innkeeper.maas_import.tables import Row, Tables

POWER_TYPES = {"lxd", "virsh"}
_VM_HOST = 1  # of `bmc_type`
_MACHINE, _RACK, _REGION_AND_RACK = 0, 2, 4  # of `node_type`: what can be a host


@frozen(kw_only=True)
class Hosts:
    clusters: tuple[Cluster, ...]
    hosts: tuple[Host, ...]
    left_out: tuple[LeftOut, ...]


def hosts_of(tables: Tables, names: References, *, complete: bool) -> Hosts:
    """`complete`: False for a database of 4.0, where a host is a BMC of which names and groups are gone."""
    clusters = tuple(
        Cluster(
            id=row.text("id"),
            name=row.text("name"),
            project=row.text("project"),
            zone=named(names.zones, row, "zone_id"),
            pool=named(names.pools, row, "pool_id"),
        )
        for row in tables.ordered("maasserver_vmcluster")
    )
    secrets = tables.by("maasserver_secret", "path")
    in_vault = tables.by("maasserver_vaultsecret", "path")
    hints = tables.by("maasserver_podhints", "pod_id")
    pools = tables.by("maasserver_podstoragepool")
    machines = _HostMachines(tables)
    found: list[Host] = []
    left_out: list[LeftOut] = []
    for row in tables.ordered("maasserver_bmc"):
        power_type = row.text("power_type")
        if complete and row.integer("bmc_type") != _VM_HOST:
            continue
        if power_type not in POWER_TYPES:
            if complete:
                reason = f"Its type is {power_type}: only hosts of LXD and libvirt can be imported."
                left_out.append(LeftOut(kind="hosts", id=row.text("id"), name=row.text("name"), reason=reason))
            continue
        hint = hints.get(row.text("id"))
        found.append(
            _host(row, names, _Parts(secrets, in_vault, pools, hint, machines.system_id(row, hint)), complete=complete)
        )
    return Hosts(clusters=clusters, hosts=tuple(found), left_out=tuple(left_out))


@frozen
class _Parts:
    """The rows of other tables about one host."""

    secrets: Mapping[str, Row]
    in_vault: Mapping[str, Row]
    pools: Mapping[str, Row]
    hint: Row | None
    machine: str


def _host(row: Row, names: References, parts: _Parts, *, complete: bool) -> Host:
    path = f"bmc/{row.text('id')}/power-parameters"
    secret = parts.secrets.get(path)
    parameters = {**row.texts("power_parameters"), **(secret.texts("value") if secret is not None else {})}
    address = parameters.get("power_address", "")
    pool = parts.pools.get(row.text("default_storage_pool_id"))
    architectures = row.array("architectures")
    return Host(
        id=row.text("id"),
        name=row.text("name") or _place_of(address),
        power_type=row.text("power_type"),
        power_address=address,
        project=parameters.get("project", ""),
        member=parameters.get("instance_name", ""),
        cluster_id=parts.hint.text("cluster_id") if parts.hint is not None else "",
        zone=named(names.zones, row, "zone_id"),
        pool=named(names.pools, row, "pool_id"),
        tags=row.array("tags"),
        cpu_over_commit_ratio=row.real("cpu_over_commit_ratio", 1.0),
        memory_over_commit_ratio=row.real("memory_over_commit_ratio", 1.0),
        default_storage_pool=pool.text("name") if pool is not None else parameters.get("default_storage_pool", ""),
        default_macvlan_mode=row.text("default_macvlan_mode"),
        architecture=architectures[0] if architectures else "",
        hypervisor_version=row.text("version"),
        certificate=parameters.get("certificate", ""),
        key=parameters.get("key", ""),
        password=parameters.get("password", ""),
        power_pass=parameters.get("power_pass", ""),
        vault_paths=(path,) if path in parts.in_vault and secret is None else (),
        machine_system_id=parts.machine,
        complete=complete,
    )


class _HostMachines:
    """The machines that are hosts: said by a row for LXD, and by the shared IP address for libvirt and old rows."""

    def __init__(self, tables: Tables) -> None:
        self._nodes = tables.by("maasserver_node")
        self._of_hints = tables.grouped("maasserver_podhints_nodes", "podhints_id")
        configurations = tables.by("maasserver_nodeconfig")
        interfaces = tables.by("maasserver_interface")
        self._by_address: dict[str, list[str]] = {}
        used = {row.key("ip_address_id") for row in tables["maasserver_bmc"]}
        for row in tables["maasserver_interface_ip_addresses"]:
            address = row.key("staticipaddress_id")
            interface = interfaces.get(row.text("interface_id"))
            if address is None or address not in used or interface is None:
                continue
            configuration = configurations.get(interface.text("node_config_id"))
            if configuration is not None:
                self._by_address.setdefault(address, []).append(configuration.text("node_id"))

    def system_id(self, host: Row, hint: Row | None) -> str:
        """Empty if MAAS did not know it."""
        by_address = self._by_address.get(host.text("ip_address_id"), [])
        said = [row.text("node_id") for row in self._of_hints.get(hint.text("id"), ())] if hint is not None else []
        # Of several, the one with the address of the host.
        return self._first([one for one in said if one in by_address]) or self._first(said) or self._first(by_address)

    def _first(self, ids: Iterable[str]) -> str:
        kinds = {_MACHINE, _RACK, _REGION_AND_RACK}
        nodes = [
            node for one in ids if (node := self._nodes.get(one)) is not None and node.integer("node_type") in kinds
        ]
        return min(nodes, key=lambda node: node.integer("id")).text("system_id") if nodes else ""


def _place_of(address: str) -> str:
    """The name or IP address in the address of a host, whose own name is gone."""
    try:
        return urlsplit(address if "://" in address else f"//{address}").hostname or address
    except ValueError:
        return address


def setting(tables: Tables, name: str) -> str:
    """A setting of MAAS as text; empty if it has no value."""
    for row in tables["maasserver_config"]:
        if row.text("name") == name:
            value = row.json("value")
            return value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return ""
