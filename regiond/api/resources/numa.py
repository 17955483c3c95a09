"""`vm-hosts/{id}/?op=numa`: the NUMA nodes of a host's server, and what is used of them."""

from __future__ import annotations

from regiond.api import schemas, shapes
from regiond.api.encoding.numa import encode_node
from regiond.api.endpoint import Call, Endpoint, Permission, Result
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.adoption import Find
from regiond.hosts.model import HostView


async def _numa(call: Call) -> Reply:
    host: HostView = call.target
    return json_reply([encode_node(node) for node in await call.services.hosts.numa(host.id)])


def numa(find_host: Find) -> Endpoint:
    return Endpoint(
        method="GET",
        op="numa",
        permission=Permission.USER,
        title="List the NUMA nodes of a VM host's server",
        doc=(
            "With what virtual machines that are pinned to their cores use of them, ours and others. Empty until the "
            "host has been looked at with success, and where its hypervisor tells no nodes."
        ),
        result=Result(doc="The NUMA nodes, by id.", schema=schemas.array(shapes.NUMA_NODE)),
        find=find_host,
        run=_numa,
    )
