"""`virtual-machines/`: all guests of all hosts, ours or not."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api import schemas, shapes
from regiond.api.encoding.hosts import encode_guest
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.paths import id_in
from regiond.api.replies import Reply, json_reply
from regiond.api.resources import adoption
from regiond.api.services import Services
from regiond.hosts.model import GuestView


async def _list(call: Call) -> Reply:
    return json_reply([encode_guest(guest) for guest in await call.services.hosts.guests()])


async def _find(services: Services, path: Mapping[str, str]) -> GuestView:
    return await services.hosts.guest(id_in(path["id"], "VirtualMachine"))


async def _read(call: Call) -> Reply:
    return json_reply(encode_guest(call.target))


VIRTUAL_MACHINES = Resource(
    handler="VirtualMachinesHandler",
    path="virtual-machines/",
    doc="Virtual machines as they were seen on their hosts, ours or not.",
    described=False,
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List virtual machines",
            result=Result(doc="The virtual machines.", schema=schemas.array(shapes.VIRTUAL_MACHINE)),
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
            result=Result(doc="The virtual machine.", schema=shapes.VIRTUAL_MACHINE),
            find=_find,
            run=_read,
        ),
        adoption.adopt_guest(_find),
    ),
)
RESOURCES = (VIRTUAL_MACHINES, VIRTUAL_MACHINE)
