"""Maintenance of a host, and what is on it."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from regiond.api.declaration.serializer import BOOL, INT, STR, TIMESTAMP, Serializer, array, key, nullable, serializer
from regiond.hosts.model import Maintenance
from regiond.machines.model import MAAS_STATUS
from regiond.machines.service import HostWorkload

MAINTENANCE_JSON: Serializer[Maintenance] = serializer(
    "Maintenance",
    key("since", TIMESTAMP, lambda maintenance: maintenance.since),
    key("by", STR, lambda maintenance: maintenance.by),
    key("reason", STR, lambda maintenance: maintenance.reason),
)


@frozen(kw_only=True)
class WorkloadRow:
    """A guest of a host. What only machines have is None for a foreign one."""

    name: str
    host_name: str
    power_state: str
    cores: int
    memory_mib: int
    system_id: str | None = None
    status_name: str | None = None
    owner: str | None = None
    adopted: bool = False
    locked: bool = False


def rows_of(workload: HostWorkload) -> Iterator[WorkloadRow]:
    """The machines, then the foreign guests."""
    for machine in workload.machines:
        yield WorkloadRow(
            name=machine.hostname,
            host_name=workload.host_name,
            power_state=machine.power_state,
            cores=machine.cores,
            memory_mib=machine.memory_mib,
            system_id=machine.system_id,
            status_name=MAAS_STATUS[machine.state].name,
            owner=machine.owner,
            adopted=machine.adopted,
            locked=machine.locked,
        )
    for guest in workload.foreign:
        yield WorkloadRow(
            name=guest.name,
            host_name=workload.host_name,
            power_state=guest.power_state,
            cores=guest.cores,
            memory_mib=guest.memory_mib,
        )


WORKLOAD_ROW_JSON: Serializer[WorkloadRow] = serializer(
    "HostGuest",
    key("name", STR, lambda row: row.name),
    key("host", STR, lambda row: row.host_name),
    key("kind", STR, lambda row: "foreign VM" if row.system_id is None else "adopted" if row.adopted else "machine"),
    key("system_id", nullable(STR), lambda row: row.system_id),
    key("status_name", nullable(STR), lambda row: row.status_name),
    key("owner", nullable(STR), lambda row: row.owner),
    key("power_state", STR, lambda row: row.power_state),
    key("cpu_count", INT, lambda row: row.cores),
    key("memory", INT, lambda row: row.memory_mib),
    key("locked", BOOL, lambda row: row.locked),
)
WORKLOAD_JSON: Serializer[HostWorkload] = serializer(
    "HostWorkload",
    key("id", INT, lambda workload: workload.host_id),
    key("name", STR, lambda workload: workload.host_name),
    key("maintenance", nullable(MAINTENANCE_JSON), lambda workload: workload.maintenance),
    key("guests", array(WORKLOAD_ROW_JSON), lambda workload: [*rows_of(workload)]),
)
