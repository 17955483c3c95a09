"""`virtual-machines/`: the guests of all hosts, managed or foreign."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Boolean
from regiond.api.declaration.fields import Field
from regiond.api.resources.hosts import adoption
from regiond.api.resources.shared.lookups import HOST_FILTER, find_guest, host_in_field
from regiond.api.serializers.vm_hosts.hosts import VIRTUAL_MACHINE_JSON
from regiond.hosts.model import GuestFilter, GuestView
from regiond.requests.long_list import LongList


async def _list(call: Call) -> LongList[GuestView]:
    host_id = await host_in_field(call.services, call.values["host"])
    wanted = GuestFilter(host_id=host_id, foreign=call.values["foreign"])
    return await call.services.hosts.long_list_of_guests(wanted, caller=call.caller)


VIRTUAL_MACHINES = Resource(
    handler="VirtualMachinesHandler",
    path="virtual-machines/",
    doc="Virtual machines as last discovered on their hosts, managed or foreign.",
    endpoints=(
        crud.list_of(
            VIRTUAL_MACHINE_JSON,
            _list,
            title="List virtual machines",
            expensive=True,
            doc="The virtual machines of all hosts. A foreign one is no machine of Innkeeper: it has no system id.",
            fields=(
                HOST_FILTER,
                Field(
                    "foreign", Boolean(), "Only foreign virtual machines (true) or only machines (false); default both."
                ),
            ),
            result="The virtual machines.",
        ),
    ),
)
VIRTUAL_MACHINE = Resource(
    handler="VirtualMachineHandler",
    path="virtual-machines/{id}",
    doc="One virtual machine, by its id or its name on the host.",
    endpoints=(
        crud.read_target(
            Result(doc="The virtual machine.", type=VIRTUAL_MACHINE_JSON), find_guest, title="Read a virtual machine"
        ),
        adoption.ADOPT_GUEST,
    ),
)
RESOURCES = (VIRTUAL_MACHINES, VIRTUAL_MACHINE)
