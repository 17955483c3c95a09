"""`vm-hosts/{id}/?op=numa`: the NUMA nodes of a host's server and their usage."""

from __future__ import annotations

from regiond.api.endpoint import Call, Endpoint, Permission, Result
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.adoption import Find
from regiond.api.serializer import array
from regiond.api.serializers.numa import NUMA_NODE_JSON
from regiond.hosts.model import HostView


async def _numa(call: Call) -> Reply:
    host: HostView = call.target
    return json_reply([NUMA_NODE_JSON.encode(node) for node in await call.services.hosts.numa(host.id)])


def numa(find_host: Find) -> Endpoint:
    return Endpoint(
        method="GET",
        op="numa",
        permission=Permission.USER,
        title="List the NUMA nodes of a VM host's server",
        doc=(
            "Shows what pinned virtual machines use of each node, machines and foreign guests. Empty before the first "
            "successful refresh and on hypervisors that report no NUMA nodes."
        ),
        result=Result(doc="The NUMA nodes, by id.", type=array(NUMA_NODE_JSON)),
        find=find_host,
        run=_numa,
    )
