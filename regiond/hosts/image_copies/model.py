"""Copies of images: the places where a deployment needs one, and the changes of a discovery run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import evolve, field, frozen

from common.guests.deployment_spec import ImageRef
from common.hosts.discovery import Discovery
from common.values import DriverType

# LXD unpacks an image once into a pool of these types and clones the result; elsewhere it unpacks it for each instance.
_FOLDER_TYPES = frozenset({"dir", "fs", "netfs"})  # of libvirt: images are files there
_CLONING_POOL_TYPES = frozenset({"btrfs", "ceph", "lvm", "lvmcluster", "powerflex", "zfs"})
CopyKey = tuple[str, str, str]  # the driver's id of the storage pool, LXD project, SHA-256


class CopyState(StrEnum):
    COPYING = "copying"  # the intent of a deployment
    COMPLETE = "complete"
    PARTIAL = "partial"  # found incomplete; nothing continues it
    REMOVING = "removing"


@frozen(kw_only=True)
class ImageCopyRecord:
    """A copy in the shape of its row. `pool_id` is empty in LXD's image store, and `project` everywhere else.

    A copy is unsettled while a deployment or removal of it is open, or if it has changed since the run began.
    """

    pool_id: str
    project: str
    sha256: str
    size_bytes: int
    state: CopyState
    settled: bool = field(default=True, eq=False)

    @property
    def key(self) -> CopyKey:
        return self.pool_id, self.project, self.sha256


@frozen(kw_only=True)
class CopySnapshot:
    """The copies of a server, and the project of the host that was discovered (empty for drivers without projects)."""

    project: str = ""
    copies: Mapping[CopyKey, ImageCopyRecord] = field(factory=dict)


NO_COPIES = CopySnapshot()


@frozen(kw_only=True)
class CopyChanges:
    written: tuple[ImageCopyRecord, ...] = ()
    deleted: tuple[CopyKey, ...] = ()


NO_COPY_CHANGES = CopyChanges()


@frozen(kw_only=True)
class CopyPlace:
    """The place of a copy and the space that it uses there; `in_pool` is False for LXD's image store."""

    in_pool: bool
    size_bytes: int


def places_of(image: ImageRef, driver: DriverType, pool_type: str) -> tuple[CopyPlace, ...]:
    """Returns the places to which `copy_image` copies the image for a root disk in a storage pool of this type."""
    if driver is DriverType.LXD and image.iso:
        return (CopyPlace(in_pool=True, size_bytes=image.size_bytes),)
    if driver is DriverType.LXD:
        store = CopyPlace(in_pool=False, size_bytes=image.size_bytes)
        if pool_type not in _CLONING_POOL_TYPES:
            return (store,)
        return store, CopyPlace(in_pool=True, size_bytes=image.virtual_size_bytes)
    has_files = driver is not DriverType.LIBVIRT or pool_type in _FOLDER_TYPES
    return (CopyPlace(in_pool=True, size_bytes=image.size_bytes if has_files else image.virtual_size_bytes),)


def copy_changes(discovery: Discovery, snapshot: CopySnapshot) -> CopyChanges:
    """Returns the rows to write and to delete. Ignores unsettled copies, and pools that the run could not list."""
    found: dict[CopyKey, ImageCopyRecord] = {}
    for copy in discovery.image_copies:
        record = ImageCopyRecord(
            pool_id=copy.pool_id,
            project="" if copy.pool_id else snapshot.project,
            sha256=copy.sha256,
            size_bytes=copy.size_bytes,
            state=CopyState.COMPLETE if copy.complete else CopyState.PARTIAL,
        )
        found[record.key] = record
    listed = set(discovery.image_pools)
    return CopyChanges(
        written=tuple(
            record
            for key, record in sorted(found.items())
            if record.pool_id in listed and _is_new(record, snapshot.copies.get(key))
        ),
        deleted=tuple(
            sorted(
                key
                for key, known in snapshot.copies.items()
                if key not in found
                and known.settled
                and known.pool_id in listed
                and (known.pool_id or known.project == snapshot.project)
            )
        ),
    )


def _is_new(record: ImageCopyRecord, known: ImageCopyRecord | None) -> bool:
    return known is None or (known.settled and evolve(known, settled=True) != record)
