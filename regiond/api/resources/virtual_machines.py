"""`virtual-machines/`: the guests of all hosts, managed or foreign."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.replies import Reply, json_reply
from regiond.api.resources import adoption
from regiond.api.serializer import array
from regiond.api.serializers.hosts import VIRTUAL_MACHINE_JSON
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.hosts.model import GuestView


async def _list(call: Call) -> Reply:
    return json_reply([VIRTUAL_MACHINE_JSON.encode(guest) for guest in await call.services.hosts.guests()])


async def _find(services: Services, path: Mapping[str, str]) -> GuestView:
    return await services.hosts.guest(id_in(path["id"], "VirtualMachine"))


async def _read(call: Call) -> Reply:
    return json_reply(VIRTUAL_MACHINE_JSON.encode(call.target))


VIRTUAL_MACHINES = Resource(
    handler="VirtualMachinesHandler",
    path="virtual-machines/",
    doc="Virtual machines as last discovered on their hosts, managed or foreign.",
    described=False,
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List virtual machines",
            result=Result(doc="The virtual machines.", type=array(VIRTUAL_MACHINE_JSON)),
            run=_list,
        ),
    ),
)
VIRTUAL_MACHINE = Resource(
    handler="VirtualMachineHandler",
    path="virtual-machines/{id}",
    doc="One virtual machine.",
    described=False,
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a virtual machine",
            result=Result(doc="The virtual machine.", type=VIRTUAL_MACHINE_JSON),
            find=_find,
            run=_read,
        ),
        adoption.adopt_guest(_find),
    ),
)
RESOURCES = (VIRTUAL_MACHINES, VIRTUAL_MACHINE)
