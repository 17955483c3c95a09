"""The machines of MAAS that are VMs of a VM host, and VMs that an import leaves out. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from common.maas.inventory import Host, LeftOut, Machine
from common.maas.pinning import known_pins
from common.maas.wording import ordinary_machine, unmanaged
from innkeeper.maas_import.disks import Disks
from innkeeper.maas_import.hosts import POWER_TYPES
from innkeeper.maas_import.interfaces import Interfaces
from innkeeper.maas_import.references import References, named
from innkeeper.maas_import.tables import Row, Tables

_MACHINE = 0  # of `node_type`
_KIND = "machines"


@frozen
class Machines:
    """The rows to which those of machines refer, and the values made of both."""

    tables: Tables
    names: References
    interfaces: Interfaces
    disks: Disks
    vms: Mapping[str, Row] = field(init=False)  # by machine
    tags: Mapping[str, list[Row]] = field(init=False)
    owner_data: Mapping[str, list[Row]] = field(init=False)

    @vms.default
    def _vms(self) -> Mapping[str, Row]:
        return self.tables.by("maasserver_virtualmachine", "machine_id")

    @tags.default
    def _tags(self) -> Mapping[str, list[Row]]:
        return self.tables.grouped("maasserver_node_tags", "node_id")

    @owner_data.default
    def _owner_data(self) -> Mapping[str, list[Row]]:
        return self.tables.grouped("maasserver_ownerdata", "node_id")

    def of(self, hosts: Mapping[str, Host]) -> tuple[Machine, ...]:
        """The VMs of these hosts, by id."""
        return tuple(
            self._machine(row, host)
            for row in self.tables.ordered("maasserver_node")
            if row.integer("node_type") == _MACHINE and (host := hosts.get(row.text("bmc_id"))) is not None
        )

    def left_out(self, hosts: Mapping[str, Host]) -> tuple[LeftOut, ...]:
        """VMs that no host of the inventory has: of hosts of other kinds, ordinary machines, and unmanaged ones."""
        bmcs = self.tables.by("maasserver_bmc")
        found: list[LeftOut] = []
        for row in self.tables.ordered("maasserver_node"):
            bmc = bmcs.get(row.text("bmc_id"))
            if row.integer("node_type") != _MACHINE or bmc is None or bmc.text("id") in hosts:
                continue
            power_type = bmc.text("power_type")
            if bmc.integer("bmc_type"):
                reason = f"Its host {bmc.text('name')} is of the type {power_type}, which cannot be imported."
            elif power_type in POWER_TYPES:
                reason = ordinary_machine(power_type)
            else:
                continue  # a machine of metal stays in MAAS
            found.append(LeftOut(kind=_KIND, id=row.text("system_id"), name=row.text("hostname"), reason=reason))
        for row in self.tables.ordered("maasserver_virtualmachine"):
            if row.key("machine_id") is None:
                reason = unmanaged(row.text("project"))
                found.append(LeftOut(kind=_KIND, id="", name=row.text("identifier"), reason=reason))
        return tuple(found)

    def _machine(self, row: Row, host: Host) -> Machine:
        id_ = row.text("id")
        vm = self.vms.get(id_)
        pinned_cores, huge_pages = None, None
        if vm is not None:
            pinned_cores, huge_pages = known_pins(
                host.power_type, vm.integers("pinned_cores"), huge_pages=vm.boolean("hugepages_backed")
            )
        parameters = row.texts("instance_power_parameters")
        tags = (self.names.tags.get(one.text("tag_id"), "") for one in self.tags.get(id_, ()))
        return Machine(
            system_id=row.text("system_id"),
            hostname=row.text("hostname"),
            domain=named(self.names.domains, row, "domain_id"),
            host_id=host.id,
            instance=parameters.get("instance_name") or parameters.get("power_id") or _text(vm, "identifier"),
            project=parameters.get("project") or _text(vm, "project") or host.project,
            status=row.integer("status"),
            power_state=row.text("power_state") or "unknown",
            architecture=row.text("architecture"),
            owner=named(self.names.users, row, "owner_id"),
            zone=named(self.names.zones, row, "zone_id"),
            pool=named(self.names.pools, row, "pool_id"),
            tags=tuple(sorted(filter(None, tags))),
            description=row.text("description"),
            owner_data=tuple(
                sorted((one.text("key"), one.text("value")) for one in self.owner_data.get(id_, ()))
            ),
            locked=row.boolean("locked"),
            dynamic=row.boolean("dynamic"),
            cores=row.integer("cpu_count"),
            pinned_cores=pinned_cores,
            memory_mib=row.integer("memory"),
            huge_pages=huge_pages,
            hardware_uuid=row.text("hardware_uuid"),
            osystem=row.text("osystem"),
            distro_series=row.text("distro_series"),
            nics=self.interfaces.nics_of(row, vm),
            disks=self.disks.disks_of(row, vm),
        )  # fmt: skip


def _text(row: Row | None, column: str) -> str:
    return row.text(column) if row is not None else ""
