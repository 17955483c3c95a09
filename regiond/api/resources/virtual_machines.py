"""`virtual-machines/` (all guests of all hosts) and `vm-clusters/`, of which there are none before LXD."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import NotFound
from regiond.api import shapes
from regiond.api.encoding.hosts import encode_guest
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.paths import id_in
from regiond.api.replies import Reply, json_reply
from regiond.api.resources import adoption
from regiond.api.services import Services
from regiond.hosts.model import GuestView

_CLUSTER_RESULT = Result(doc="The cluster.", schema=shapes.ANYTHING)


async def _list(call: Call) -> Reply:
    return json_reply([encode_guest(guest) for guest in await call.services.hosts.guests()])


async def _find(services: Services, path: Mapping[str, str]) -> GuestView:
    return await services.hosts.guest(id_in(path["id"], "VirtualMachine"))


async def _read(call: Call) -> Reply:
    return json_reply(encode_guest(call.target))


async def _no_clusters(_: Call) -> Reply:
    return json_reply([])


async def _no_cluster(_: Call) -> Reply:
    """Clusters come with LXD hosts; none can exist yet, so every id is unknown."""
    raise NotFound("Not Found")


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
            result=Result(doc="The virtual machines.", schema=shapes.array(shapes.VIRTUAL_MACHINE)),
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
CLUSTERS = Resource(
    handler="VmClustersHandler",
    path="vm-clusters/",
    doc="LXD clusters.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List VM clusters",
            result=Result(doc="The clusters.", schema=shapes.array(shapes.ANYTHING)),
            run=_no_clusters,
        ),
    ),
)
CLUSTER = Resource(
    handler="VmClusterHandler",
    path="vm-clusters/{id}",
    doc="One LXD cluster.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a VM cluster",
            result=_CLUSTER_RESULT,
            run=_no_cluster,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            title="Update a VM cluster",
            result=_CLUSTER_RESULT,
            run=_no_cluster,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Delete a VM cluster",
            result=Result(doc="Nothing."),
            success=204,
            run=_no_cluster,
        ),
    ),
)
RESOURCES = (VIRTUAL_MACHINES, VIRTUAL_MACHINE, CLUSTERS, CLUSTER)
