"""`vm-clusters/`: LXD clusters, whose members are VM hosts."""

from __future__ import annotations

import time

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import array
from regiond.api.declaration.served import filled, serve, target
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.hosts import host_maintenance, host_removal
from regiond.api.resources.shared import host_fields
from regiond.api.resources.shared.lookups import find_cluster
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.api.serializers.vm_hosts.clusters import CLUSTER_JSON
from regiond.clusters.model import ClusterChange, ClusterView
from regiond.operations.service import outcome
from regiond.requests.caller import Permission

_list = serve(lambda s: s.clusters.list)
_update = serve(lambda s: s.clusters.update, cluster_id=target("id"), change=filled(ClusterChange))


async def _delete(call: Call) -> Reply:
    """Removes all members at once. Answers like `host_removal.all_removed`, to an async request with the operations.

    Raises the first failure; the other removals continue.
    """
    cluster: ClusterView = call.target
    if call.values["dry_run"]:
        return await host_removal.plan(call, cluster.name, cluster.host_ids)
    wanted = host_removal.removal_of(call)
    confirm = host_removal.confirmation(call, cluster.name, cluster.host_ids)
    removals = await call.services.clusters.start_remove(call.caller, cluster.id, wanted, confirm=confirm)
    if call.respond_async:
        headers = {"Preference-Applied": "respond-async"}
        return json_reply([OPERATION_JSON.encode(removal) for removal in removals], status=202, headers=headers)
    until_s = time.monotonic() + call.info.wait_s
    ended = []
    for removal in removals:
        left_s = max(0.1, until_s - time.monotonic())
        waited = await call.services.operations.wait(removal.id, timeout_s=left_s, caller=call.caller)
        ended.append(outcome(waited))
    return host_removal.all_removed(cluster.name, ended)


_STARTED = (
    202,
    Result(doc="With Prefer: respond-async: the operations, which have begun.", type=array(OPERATION_JSON)),
)
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
    doc="One LXD cluster, by its id or name.",
    endpoints=(
        crud.read_target(_CLUSTER, find_cluster, title="Read a VM cluster"),
        crud.update(
            _CLUSTER,
            _update,
            title="Update a VM cluster",
            fields=(
                Field("name", Text(max_length=255, blank=None), "Name of the cluster.", recorded=True, example="lab"),
                Field("zone", host_fields.GROUP, "Name of a zone; copied to all members.", recorded=True),
                Field("pool", host_fields.GROUP, "Name of a resource pool; copied to all members.", recorded=True),
            ),
            find=find_cluster,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            fields=host_removal.FIELDS,
            title="Delete a VM cluster",
            doc=f"Removes the VM hosts of all members. {host_removal.DOC}",
            result=crud.NOTHING,
            success=204,
            other_answers=(_STARTED, host_removal.DRY_RUN, host_removal.BY_FORCE),
            find=find_cluster,
            check=host_removal.problems,
            run=_delete,
        ),
        crud.action(
            "maintenance",
            host_maintenance.WORKLOADS,
            lambda call: host_maintenance.begin(call, call.target.host_ids),
            title="Put all members of a VM cluster into maintenance",
            doc=host_maintenance.DOC,
            fields=host_maintenance.FIELDS,
            find=find_cluster,
        ),
        crud.action(
            "end_maintenance",
            host_maintenance.WORKLOADS,
            lambda call: host_maintenance.end(call, call.target.host_ids),
            title="End the maintenance of all members of a VM cluster",
            doc="They take new machines again.",
            find=find_cluster,
        ),
    ),
)
RESOURCES = (CLUSTERS, CLUSTER)
