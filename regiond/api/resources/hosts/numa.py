"""`vm-hosts/{id}/?op=numa`: the NUMA nodes of a host's server and their usage."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.served import serve, target
from regiond.api.resources.shared.lookups import find_host
from regiond.api.serializers.numa import NUMA_NODE_JSON

NUMA = crud.list_of(
    NUMA_NODE_JSON,
    serve(lambda s: s.hosts.numa, host_id=target("id")),
    op="numa",
    title="List the NUMA nodes of a VM host's server",
    doc=(
        "Shows what pinned virtual machines use of each node, machines and foreign guests, and what all virtual "
        "machines claim of the whole server: the hypervisor chooses the node of those without pins. Empty before the "
        "first successful refresh and on hypervisors that report no NUMA nodes."
    ),
    result="The NUMA nodes, by id.",
    find=find_host,
)
