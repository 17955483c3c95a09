"""NICs of machines with their links, and the addresses that others have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from common.maas.inventory import Link, Machine, Nic, ReservedAddress
from common.maas.wording import normalised_mac
from innkeeper.maas_import.references import References, address, named
from innkeeper.maas_import.tables import Row, Tables

AUTO, STICKY, USER_RESERVED, DHCP = 0, 1, 4, 5  # of `alloc_type`
_MODES = {AUTO: "auto", STICKY: "static", USER_RESERVED: "static", DHCP: "dhcp"}
_PHYSICAL = "physical"


@frozen
class Interfaces:
    """The interfaces and addresses of all nodes, found by what refers to them."""

    tables: Tables
    names: References
    by_configuration: Mapping[str, list[Row]] = field(init=False)
    addresses: Mapping[str, list[Row]] = field(init=False)  # by interface
    attachments: Mapping[tuple[str, str], str] = field(init=False)  # by VM and MAC address

    @by_configuration.default
    def _by_configuration(self) -> Mapping[str, list[Row]]:
        return self.tables.grouped("maasserver_interface", "node_config_id")

    @addresses.default
    def _addresses(self) -> Mapping[str, list[Row]]:
        rows = self.tables.by("maasserver_staticipaddress")
        found: dict[str, list[Row]] = {}
        for joined in self.tables["maasserver_interface_ip_addresses"]:
            row = rows.get(joined.text("staticipaddress_id"))
            if row is not None and not _is_tried(row):
                found.setdefault(joined.text("interface_id"), []).append(row)
        for some in found.values():
            some.sort(key=lambda row: row.integer("id"))
        return found

    @attachments.default
    def _attachments(self) -> Mapping[tuple[str, str], str]:
        return {
            (row.text("vm_id"), normalised_mac(row.text("mac_address"))): row.text("attachment_type")
            for row in self.tables["maasserver_virtualmachineinterface"]
            if row.text("mac_address")
        }

    def nics_of(self, node: Row, vm: Row | None) -> tuple[Nic, ...]:
        """The physical ones of the current configuration: hardware sync keeps every MAC address twice."""
        vm_id = vm.text("id") if vm is not None else ""
        return tuple(
            Nic(
                name=row.text("name"),
                mac_address=(mac := normalised_mac(row.text("mac_address"))),
                vlan_id=row.text("vlan_id"),
                enabled=row.boolean("enabled", default=True),
                links=tuple(link for one in self.addresses.get(row.text("id"), ()) for link in self._link(one)),
                attachment=self.attachments.get((vm_id, mac), ""),
                tags=row.array("tags"),
            )
            for row in self.by_configuration.get(node.text("current_config_id"), ())
            if row.text("type") == _PHYSICAL
        )

    def reserved(self, machines: Iterable[Machine]) -> tuple[ReservedAddress, ...]:
        """The addresses in use that are no link of these machines, each once."""
        linked = {link.ip for machine in machines for nic in machine.nics for link in nic.links}
        holders = self._holders()
        found = {
            address(row): ReservedAddress(
                ip=address(row),
                subnet=named(self.names.cidrs, row, "subnet_id"),
                mac_address=normalised_mac(row.text("mac_address")),
                comment=row.text("comment"),
            )
            for row in self.tables.ordered("maasserver_reservedip")
        }
        for row in self.tables.ordered("maasserver_staticipaddress"):
            ip = address(row)
            if ip and ip not in linked and row.integer("alloc_type") in _MODES and not _is_tried(row):
                reserved = ReservedAddress(
                    ip=ip,
                    subnet=named(self.names.cidrs, row, "subnet_id"),
                    user=named(self.names.users, row, "user_id"),
                    holder=holders.get(row.text("id"), ""),
                )
                found.setdefault(ip, reserved)
        return tuple(one for ip, one in found.items() if ip not in linked)

    def _holders(self) -> Mapping[str, str]:
        """The hostname of the node that has an address, by the id of the address."""
        nodes, configurations = self.tables.by("maasserver_node"), self.tables.by("maasserver_nodeconfig")
        interfaces = self.tables.by("maasserver_interface")
        found: dict[str, str] = {}
        for id_, rows in self.addresses.items():
            interface = interfaces.get(id_)
            configuration = configurations.get(interface.text("node_config_id")) if interface is not None else None
            node = nodes.get(configuration.text("node_id")) if configuration is not None else None
            found |= {row.text("id"): node.text("hostname") for row in rows if node is not None}
        return found

    def _link(self, row: Row) -> tuple[Link, ...]:
        mode, ip = _MODES.get(row.integer("alloc_type")), address(row)
        if mode is None:
            return ()
        return (Link(mode="link_up" if mode == "static" and not ip else mode, subnet=self._cidr(row), ip=ip),)

    def _cidr(self, row: Row) -> str:
        return named(self.names.cidrs, row, "subnet_id")


def _is_tried(row: Row) -> bool:
    """An address that MAAS only tried out."""
    return row.key("temp_expires_on") is not None
