"""All resources of the API, in the order in which they are described."""

from __future__ import annotations

from regiond.api.endpoint import Resource
from regiond.api.resources import (
    accounts,
    certificates,
    events,
    groups,
    machines,
    nodes,
    operations,
    racks,
    rpc_clients,
    version,
    virtual_machines,
    vm_clusters,
    vm_hosts,
)

RESOURCES: tuple[Resource, ...] = (
    version.VERSION,
    *vm_hosts.RESOURCES,
    *virtual_machines.RESOURCES,
    *vm_clusters.RESOURCES,
    *machines.RESOURCES,
    *nodes.RESOURCES,
    *operations.RESOURCES,
    events.EVENTS,
    *groups.RESOURCES,
    *racks.RESOURCES,
    *rpc_clients.RESOURCES,
    *accounts.RESOURCES,
)
SERVED: tuple[Resource, ...] = (*RESOURCES, *version.descriptions(RESOURCES), certificates.CERTIFICATE)
