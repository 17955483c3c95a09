"""Features of one server, read from its `/1.0`: never versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from common.errors import NotTrusted, Unsupported
from rackd.drivers.lxd.connection.dialect import IDENTITIES, LXD, Dialect, dialect_of

# What the driver cannot do without, all in LXD 4.16 and newer and in every Incus.
REQUIRED = ("projects", "virtual-machines", "custom_block_volumes")


@frozen(kw_only=True)
class Capabilities:
    """The product, its version for people, and what the driver does differently with it.

    `_EXTENSIONS` has the API extension of each, docs/reference/lxd-features.md what happens without it.
    """

    dialect: Dialect = LXD
    version: str = ""
    is_trusting: bool = False
    cloud_init_keys: bool = False  # `cloud-init.*` in the config; before, `user.*`
    numa_placement: bool = False  # NUMA nodes for cores that are not pinned
    boot_mode: bool = False  # `boot.mode`, and no `security.secureboot`
    tpm: bool = False
    pool_moves: bool = False  # an instance moves to another storage pool of its server
    iso_volumes: bool = False  # storage volumes of ISO images
    rebuild: bool = False  # an instance gets another root disk, and stays
    selective_state: bool = False  # a listing of instances has only those parts of their states that are asked for
    tls_identities: bool = False  # certificates with permissions by groups, beside the trust list
    placement_groups: bool = False  # a cluster spreads the instances of a group, or keeps them together
    hides_snapshots: bool = False  # a listing of volumes lacks those of snapshots
    dependent_disks: bool = False  # the server deletes the volumes of some disks with their instance
    member_state: bool = False  # the server says how much memory its kernel has
    trust_token: bool = False  # a token has a field of its own, beside the trust password


_EXTENSIONS: Mapping[str, str] = {
    "cloud_init_keys": "cloud_init",
    "numa_placement": "numa_cpu_placement",
    "boot_mode": "instance_boot_mode",
    "tpm": "tpm",
    "pool_moves": "instance_pool_move",
    "iso_volumes": "custom_volume_iso",
    "rebuild": "instances_rebuild",
    "selective_state": "instances_state_selective_recursion",
    "tls_identities": IDENTITIES,
    "placement_groups": "instance_placement_groups",
    "hides_snapshots": "storage_volume_full",
    "dependent_disks": "dependent",
    "member_state": "cluster_member_state",
    "trust_token": "explicit_trust_token",
}


UNKNOWN = Capabilities()  # of a server that was not asked


def extension_of(capability: str) -> str:
    """Returns the name of the API extension that a field of Capabilities stands for."""
    return _EXTENSIONS[capability]


def capabilities_of(server: Mapping[str, Any]) -> Capabilities:
    """`server` is the `/1.0`, also of a server that does not trust the client yet."""
    extensions = frozenset(map(str, server.get("api_extensions") or ()))
    dialect = dialect_of(server)
    found = {name: extension in extensions for name, extension in _EXTENSIONS.items()}
    found["trust_token"] |= not dialect.takes_passwords
    return Capabilities(
        dialect=dialect,
        version=str((server.get("environment") or {}).get("server_version", "")),
        is_trusting=server.get("auth") == "trusted",
        **found,
    )


def check_usable(server: Mapping[str, Any], address: str) -> Capabilities:
    """Returns what the server can do. Raises NotTrusted or Unsupported, saying what helps."""
    found = capabilities_of(server)
    product = found.dialect.product
    listed = server.get("api_extensions")
    missing = [] if listed is None else [name for name in REQUIRED if name not in listed]
    if missing:
        raise Unsupported(
            f"{product} at {address} lacks the API extensions {', '.join(missing)}. Innkeeper needs "
            f"{found.dialect.needed}."
        )
    if not found.is_trusting:
        reason = f"{product} at {address} does not trust Innkeeper's certificate."
        raise NotTrusted(
            f"{reason} On that server, get a token with: {found.dialect.how_to_trust} (add --restricted --projects "
            "PROJECT to limit it to a project)",
            reason=reason,
            product=product,
        )
    if "qemu" not in str(server["environment"].get("driver", "")):
        raise Unsupported(
            f"{product} at {address} cannot run virtual machines (drivers: {server['environment'].get('driver')}). "
            "It looks for QEMU and KVM only when it starts, and its log says what was missing: mend that, then restart "
            f"{product}."
        )
    return found
