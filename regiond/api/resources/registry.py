"""Lists all resources of the API, in the order of `describe/`."""

from __future__ import annotations

from regiond.api.declaration.endpoint import Resource
from regiond.api.declaration.extension import api_extensions
from regiond.api.resources import empty_lists
from regiond.api.resources.accounts import accounts, groups, lists, quotas, rpc_clients, sessions, ssh_keys, users
from regiond.api.resources.hosts import certificates, virtual_machines, vm_clusters, vm_hosts
from regiond.api.resources.images import boot_resources
from regiond.api.resources.machines import deployment, machines
from regiond.api.resources.machines.hardware import exports, kept_disks
from regiond.api.resources.machines.nodes_api import all_nodes, devices, nodes
from regiond.api.resources.networks import dns, fabrics, ip_ranges, spaces, subnets, vlans
from regiond.api.resources.operations import audit, discrepancies, events, operations
from regiond.api.resources.region import (
    attention,
    controllers,
    files,
    maas_config,
    racks,
    regions,
    tags,
    version,
)

RESOURCES: tuple[Resource, ...] = (
    version.VERSION,
    *vm_hosts.RESOURCES,
    *virtual_machines.RESOURCES,
    *vm_clusters.RESOURCES,
    *machines.RESOURCES,
    *kept_disks.RESOURCES,
    *exports.RESOURCES,
    *all_nodes.RESOURCES,
    *nodes.RESOURCES,
    *devices.RESOURCES,
    *boot_resources.RESOURCES,
    *operations.RESOURCES,
    *events.RESOURCES,
    audit.AUDIT,
    *discrepancies.RESOURCES,
    attention.ATTENTION,
    *groups.RESOURCES,
    *tags.RESOURCES,
    *quotas.RESOURCES,
    *fabrics.RESOURCES,
    *vlans.RESOURCES,
    *subnets.RESOURCES,
    *spaces.RESOURCES,
    *ip_ranges.RESOURCES,
    *dns.RESOURCES,
    regions.REGIONS,
    *racks.RESOURCES,
    *controllers.RESOURCES,
    maas_config.MAAS,
    *[one for extension in api_extensions() for one in extension.resources],
    *rpc_clients.RESOURCES,
    *users.RESOURCES,
    *accounts.RESOURCES,
    *sessions.RESOURCES,
    *ssh_keys.RESOURCES,
    *lists.RESOURCES,
    *files.RESOURCES,
)
DOCUMENTED: tuple[Resource, ...] = (
    *RESOURCES,
    certificates.CERTIFICATE,
    deployment.REPORT,
    deployment.USER_DATA,
    deployment.VM_HOST_REPORT,
    *[one for extension in api_extensions() for one in extension.programs],
    accounts.LOGIN,
)  # they are in the OpenAPI document
DESCRIBED: tuple[Resource, ...] = (*DOCUMENTED, *empty_lists.RESOURCES)  # they are in `describe/`, for clients
SERVED: tuple[Resource, ...] = (
    *DESCRIBED,
    *version.descriptions(DESCRIBED, documented=DOCUMENTED),
    controllers.RACK_CONTROLLERS_IN_CAPITALS,
    *[one for extension in api_extensions() for one in extension.aliases],
)
