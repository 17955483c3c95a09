"""The types of libvirt's storage pools: in which of them guests get disks, and why not in the others."""

from __future__ import annotations

FOLDER_TYPES = ("dir", "fs", "netfs")  # a folder; libvirt mounts the file system of fs and netfs there
GROUP_TYPES = ("logical", "zfs")  # a volume group or ZFS pool: QEMU opens its volumes as block devices
POOL_TYPES = (*FOLDER_TYPES, *GROUP_TYPES)

_EXISTING = "its volumes are devices that exist already, so no disk of a wanted size can be made in it"
_REMOTE = "QEMU opens its volumes over the network, not as a file or device of the host"
_UNUSED = {
    "disk": "its volumes are partitions of one disk, which are neither grown nor moved",
    "iscsi": _EXISTING,
    "iscsi-direct": _EXISTING,
    "scsi": _EXISTING,
    "mpath": _EXISTING,
    "gluster": _REMOTE,
    "rbd": _REMOTE,
    "sheepdog": _REMOTE,
    "vstorage": "libvirt mounts it for a cluster of servers, whose shared space Innkeeper cannot count",
}


def reason_unused(pool_type: str) -> str:
    """Returns a sentence: why Innkeeper makes no disks in an active storage pool of a type not in POOL_TYPES."""
    reason = _UNUSED.get(pool_type, "Innkeeper does not know this type")
    *types, last = POOL_TYPES
    return (
        f"The storage pool is not used, because it has the type {pool_type or 'unknown'}: {reason}. Guests' disks can "
        f"be in storage pools of the types {', '.join(types)} and {last}. Disks that guests have in it work, and "
        "count in no storage pool."
    )
