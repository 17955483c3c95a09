"""`vm-clusters/`: LXD clusters, whose members are VM hosts of their own."""

from __future__ import annotations

import time
from collections.abc import Mapping

from regiond.api import schemas, shapes
from regiond.api.encoding.clusters import encode_cluster
from regiond.api.encoding.operations import encode_operation
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Field, Text
from regiond.api.paths import id_in
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources import host_fields
from regiond.api.services import Services
from regiond.clusters.model import ClusterChange, ClusterView
from regiond.operations.service import outcome


async def _list(call: Call) -> Reply:
    return json_reply([encode_cluster(cluster) for cluster in await call.services.clusters.list()])


async def _find(services: Services, path: Mapping[str, str]) -> ClusterView:
    return await services.clusters.read(id_in(path["id"], "VMCluster"))


async def _read(call: Call) -> Reply:
    return json_reply(encode_cluster(call.target))


async def _update(call: Call) -> Reply:
    cluster: ClusterView = call.target
    change = ClusterChange(name=call.values["name"], zone=call.values["zone"], pool=call.values["pool"])
    return json_reply(encode_cluster(await call.services.clusters.update(call.caller, cluster.id, change)))


async def _delete(call: Call) -> Reply:
    """All members at once; the first failure is told, the others go on. With `respond-async`: the operations."""
    cluster: ClusterView = call.target
    removals = await call.services.clusters.start_remove(call.caller, cluster.id, decompose=call.values["decompose"])
    if call.respond_async:
        headers = {"Preference-Applied": "respond-async"}
        return json_reply([encode_operation(removal) for removal in removals], status=202, headers=headers)
    until_s = time.monotonic() + call.info.wait_s
    for removal in removals:
        left_s = max(0.1, until_s - time.monotonic())
        outcome(await call.services.operations.wait(removal.id, timeout_s=left_s))
    return empty_reply()


_RESULT = Result(doc="The cluster.", schema=shapes.VM_CLUSTER)

CLUSTERS = Resource(
    handler="VmClustersHandler",
    path="vm-clusters/",
    doc="LXD clusters.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List VM clusters",
            result=Result(doc="The clusters.", schema=schemas.array(shapes.VM_CLUSTER)),
            run=_list,
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
            result=_RESULT,
            find=_find,
            run=_read,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=(
                Field(name="name", kind=Text(longest=255, blank=None), doc="What to call it."),
                Field(
                    name="zone",
                    kind=Text(longest=256, blank=None),
                    doc="A zone, by name; copied to the members.",
                ),
                Field(name="pool", kind=Text(longest=256, blank=None), doc="A pool, by name; copied likewise."),
            ),
            title="Update a VM cluster",
            result=_RESULT,
            find=_find,
            run=_update,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            fields=(host_fields.DECOMPOSE,),
            title="Delete a VM cluster",
            doc="Every member's host is removed.",
            result=Result(doc="Nothing."),
            success=204,
            find=_find,
            run=_delete,
        ),
    ),
)
RESOURCES = (CLUSTERS, CLUSTER)
