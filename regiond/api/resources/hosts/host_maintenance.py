"""Maintenance of VM hosts and of all members of a VM cluster, and the list of guests on them."""

from __future__ import annotations

from collections.abc import Iterable

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Result
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import array
from regiond.api.resources.shared.lookups import find_host
from regiond.api.serializers.vm_hosts.maintenance import WORKLOAD_JSON, WORKLOAD_ROW_JSON, WorkloadRow, rows_of
from regiond.machines.core.host_workload import HostWorkload

FIELDS = (
    Field(
        "reason",
        Text(max_length=1000, blank=None),
        "Why; shown with the host and as the reason for which no machine is placed on it.",
        recorded=True,
        example="memory replacement",
    ),
)
DOC = (
    "No new machine is composed, placed or allocated there until the maintenance ends. Work in progress continues; "
    "power actions, refreshes and deletions still work. Repeating it changes only the reason. The answer lists what is "
    "there."
)


async def begin(call: Call, host_ids: Iterable[int]) -> tuple[HostWorkload, ...]:
    ids = tuple(host_ids)
    await call.services.hosts.begin_maintenance(call.caller, ids, call.values["reason"])
    return await call.services.machines.workloads(ids, caller=call.caller)


async def end(call: Call, host_ids: Iterable[int]) -> tuple[HostWorkload, ...]:
    ids = tuple(host_ids)
    await call.services.hosts.end_maintenance(call.caller, ids)
    return await call.services.machines.workloads(ids, caller=call.caller)


async def _begin_one(call: Call) -> HostWorkload:
    return (await begin(call, [call.target.id]))[0]


async def _end_one(call: Call) -> HostWorkload:
    return (await end(call, [call.target.id]))[0]


async def _guests(call: Call) -> tuple[WorkloadRow, ...]:
    (workload,) = await call.services.machines.workloads([call.target.id], caller=call.caller)
    return tuple(rows_of(workload))


_WORKLOAD = Result(doc="The VM host's maintenance and guests.", type=WORKLOAD_JSON)
MAINTENANCE = crud.action(
    "maintenance",
    _WORKLOAD,
    _begin_one,
    title="Put a VM host into maintenance",
    doc=DOC,
    fields=FIELDS,
    find=find_host,
)
END_MAINTENANCE = crud.action(
    "end_maintenance",
    _WORKLOAD,
    _end_one,
    title="End the maintenance of a VM host",
    doc="The host takes new machines again. A host that is not in maintenance is not an error.",
    find=find_host,
)
GUESTS = crud.list_of(
    WORKLOAD_ROW_JSON,
    _guests,
    op="guests",
    title="List what is on a VM host",
    doc="Its machines with owner and power state, then its foreign virtual machines as last discovered.",
    result="The machines and the foreign virtual machines.",
    find=find_host,
)
WORKLOADS = Result(doc="The maintenance and the guests of each member.", type=array(WORKLOAD_JSON))
