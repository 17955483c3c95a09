"""Maintenance of a host, and the guests on it."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from regiond.api.declaration.serializer import STR, Serializer, array, fields_of, key, serializer
from regiond.hosts.maintenance.model import Maintenance
from regiond.machines.core.host_workload import HostWorkload
from regiond.machines.values.states import MAAS_STATUS

MAINTENANCE_JSON: Serializer[Maintenance] = serializer("Maintenance", *fields_of(Maintenance, "since by reason"))


@frozen(kw_only=True)
class WorkloadRow:
    """A guest of a host. Values that only machines have are None for a foreign guest."""

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
    """Yields the machines, then the foreign guests."""
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
    *fields_of(WorkloadRow, "name host=host_name"),
    key("kind", STR, lambda row: "foreign VM" if row.system_id is None else "adopted" if row.adopted else "machine"),
    *fields_of(WorkloadRow, "system_id status_name owner power_state cpu_count=cores memory=memory_mib locked"),
)
WORKLOAD_JSON: Serializer[HostWorkload] = serializer(
    "HostWorkload",
    *fields_of(HostWorkload, "id=host_id name=host_name maintenance", maintenance=MAINTENANCE_JSON),
    key("guests", array(WORKLOAD_ROW_JSON), lambda workload: [*rows_of(workload)]),
)
