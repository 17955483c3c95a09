"""`vm-clusters/`: LXD clusters, whose members are VM hosts."""

from __future__ import annotations

import time
from collections.abc import Mapping

from regiond.api import crud
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Text
from regiond.api.fields import Field
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources import host_fields, host_removal
from regiond.api.serializers.clusters import CLUSTER_JSON
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.clusters.model import ClusterChange, ClusterView
from regiond.operations.service import outcome


async def _list(call: Call) -> tuple[ClusterView, ...]:
    return await call.services.clusters.list()


async def _find(services: Services, path: Mapping[str, str]) -> ClusterView:
    return await services.clusters.read(id_in(path["id"], "VMCluster"))


async def _update(call: Call) -> ClusterView:
    change = ClusterChange(name=call.values["name"], zone=call.values["zone"], pool=call.values["pool"])
    return await call.services.clusters.update(call.caller, call.target.id, change)


async def _delete(call: Call) -> Reply:
    """Removes all members at once. Raises the first failure; the others continue. Async: the operations."""
    cluster: ClusterView = call.target
    if call.values["dry_run"]:
        return await host_removal.plan(call, cluster.name, cluster.host_ids)
    wanted = host_removal.removal_of(call.values)
    removals = await call.services.clusters.start_remove(call.caller, cluster.id, wanted)
    if call.respond_async:
        headers = {"Preference-Applied": "respond-async"}
        return json_reply([OPERATION_JSON.encode(removal) for removal in removals], status=202, headers=headers)
    until_s = time.monotonic() + call.info.wait_s
    for removal in removals:
        left_s = max(0.1, until_s - time.monotonic())
        outcome(await call.services.operations.wait(removal.id, timeout_s=left_s))
    return empty_reply()


_CLUSTER = Result(doc="The cluster.", type=CLUSTER_JSON)

CLUSTERS = Resource(
    handler="VmClustersHandler",
    path="vm-clusters/",
    doc="LXD clusters.",
    endpoints=(crud.list_of(CLUSTER_JSON, _list, title="List VM clusters", result="The clusters."),),
)
CLUSTER = Resource(
    handler="VmClusterHandler",
    path="vm-clusters/{id}",
    doc="One LXD cluster.",
    endpoints=(
        crud.read_target(_CLUSTER, _find, title="Read a VM cluster"),
        crud.update(
            _CLUSTER,
            _update,
            title="Update a VM cluster",
            fields=(
                Field(name="name", type=Text(max_length=255, blank=None), doc="Name of the cluster."),
                Field(name="zone", type=host_fields.GROUP, doc="Name of a zone; copied to all members."),
                Field(name="pool", type=host_fields.GROUP, doc="Name of a resource pool; copied to all members."),
            ),
            find=_find,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            fields=host_removal.FIELDS,
            title="Delete a VM cluster",
            doc=f"Removes the VM hosts of all members. {host_removal.DOC}",
            result=crud.NOTHING,
            success=204,
            find=_find,
            check=host_removal.problems,
            run=_delete,
        ),
    ),
)
RESOURCES = (CLUSTERS, CLUSTER)
