"""Lists all resources of the API, in the order of `describe/`."""

from __future__ import annotations

from regiond.api.endpoint import Resource
from regiond.api.resources import (
    accounts,
    audit,
    boot_resources,
    certificates,
    deployment,
    discrepancies,
    events,
    fabrics,
    groups,
    ip_ranges,
    machines,
    nodes,
    operations,
    quotas,
    racks,
    regions,
    rpc_clients,
    sessions,
    spaces,
    ssh_keys,
    subnets,
    users,
    version,
    virtual_machines,
    vlans,
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
    *boot_resources.RESOURCES,
    *operations.RESOURCES,
    *events.RESOURCES,
    audit.AUDIT,
    *discrepancies.RESOURCES,
    *groups.RESOURCES,
    *quotas.RESOURCES,
    *fabrics.RESOURCES,
    *vlans.RESOURCES,
    *subnets.RESOURCES,
    *spaces.RESOURCES,
    *ip_ranges.RESOURCES,
    regions.REGIONS,
    *racks.RESOURCES,
    *rpc_clients.RESOURCES,
    *users.RESOURCES,
    *accounts.RESOURCES,
    *sessions.RESOURCES,
    *ssh_keys.RESOURCES,
)
DOCUMENTED: tuple[Resource, ...] = (
    *RESOURCES,
    certificates.CERTIFICATE,
    deployment.REPORT,
    accounts.LOGIN,
)  # in the OpenAPI document
SERVED: tuple[Resource, ...] = (*DOCUMENTED, *version.descriptions(DOCUMENTED))
