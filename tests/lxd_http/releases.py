"""How the releases of LXD, and Incus, differ, as far as the double answers as they do.

5.0.2 runs in the lab, which verifies the double. 6.8 cannot run there; its differences are those that LXD publishes:
the API extension `instance_boot_mode` (lxd-ui's pull request 1787, LXD's 17560) and the removal of operations'
resources, whose instance is then in the metadata (LXD's pull requests 17563 and 18028). 6.9 adds replicas of projects
(its release notes, and LXD's "How to set up replicators"). From 5.15 to 6.9, a wait for an operation that fails or goes
on ends as an error, with the status of a success (LXD's issue 12214, mended for 6.10.0 by its pull request 18852).
Incus 7.0.2 runs in the lab.
"""

from __future__ import annotations

from attrs import evolve, frozen

IDENTITIES = "access_management_tls"  # in LXD 5.21
PLACEMENT_GROUPS = "instance_placement_groups"  # in LXD 6.6, by its release notes
FULL_VOLUMES = "storage_volume_full"  # the volumes of snapshots are no entries of their own in a listing
SELECTIVE = "instances_state_selective_recursion"  # in LXD 6.7, by its release notes


@frozen(kw_only=True)
class Release:
    """`unknown_keys` are keys of an instance's config that this release refuses although another one has them."""

    version: str
    extensions: tuple[str, ...]
    unknown_keys: frozenset[str]
    operations_have_resources: bool
    waits_end_as_errors: bool = False
    says_fine_grained: bool = True  # of the current identity; else its type tells
    has_replicas: bool = False  # a project may be the standby of another cluster's
    product: str = "lxd"
    lists_extensions_before_trust: bool = True
    guards_volumes: bool = False  # a volume belongs to one instance, unless its config says that it is shared
    max_volume_name: int = 0  # characters; 0: no limit


LXD_5_0 = Release(
    version="5.0.2",
    # Those that a client of instances and volumes may ask for.
    extensions=(
        "etag", "patch", "storage", "resources", "projects", "instances", "virtual-machines", "vm_boot_priority",
        "api_filtering", "instance_nic_network", "custom_block_volumes", "limits_hugepages", "instance_all_projects",
        "cloud_init", "event_project", "certificate_token", "storage_volumes_all_projects",
        "instance_pool_move",
    ),
    unknown_keys=frozenset({"boot.mode", "placement.group"}),
    operations_have_resources=True,
)  # fmt: skip

LXD_6_8 = Release(
    version="6.8",
    extensions=(
        *LXD_5_0.extensions,
        "numa_cpu_placement",
        "explicit_trust_token",
        "instance_boot_mode",
        "custom_volume_iso",
        SELECTIVE,
        IDENTITIES,
        PLACEMENT_GROUPS,
    ),
    unknown_keys=frozenset({"security.secureboot", "security.csm"}),
    operations_have_resources=False,
    waits_end_as_errors=True,
)

LXD_6_9 = evolve(LXD_6_8, version="6.9", has_replicas=True)

INCUS_7_0 = Release(
    version="7.0.2",
    extensions=(
        *LXD_5_0.extensions,
        "numa_cpu_placement",
        "instances_rebuild",
        "custom_volume_iso",
        "restrict_dev_incus",
        "cluster_member_state",
        "dependent",
        FULL_VOLUMES,
    ),
    unknown_keys=frozenset({"boot.mode", "placement.group"}),
    operations_have_resources=True,
    product="incus",
    lists_extensions_before_trust=False,
    guards_volumes=True,
    max_volume_name=64,
)
