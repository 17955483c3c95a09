"""The requests to release and delete machines and to remove what is left of them, as operations store them."""

from __future__ import annotations

from attrs import field, frozen

from common.hosts.discovery import VolumeRef
from common.values import GuestRef, OwnershipMarker
from regiond.operations.model import LEFT_OUT, AfterEarlier


@frozen(kw_only=True)
class ReleaseRequest(AfterEarlier):
    """The work of a release: whether the guest is `deployed`, shuts down by itself, and how its disks are emptied."""

    comment: str = ""
    deployed: bool = False
    shuts_down: bool = False
    erase: bool = False
    overwrite: bool = False

    @property
    def empties(self) -> bool:
        return self.deployed or self.erase


@frozen(kw_only=True)
class DeletionRequest(AfterEarlier):
    """The deletion of a machine, which the removal of its host describes. A release may delete it, with its own keys.

    `kept_disks` are the ids of disks that become kept disks; None: a region of release 1.0 opened the operation.
    `disks_that_stay` is what people call all the disks that stay on the host.
    """

    description: str = field(default="", metadata=LEFT_OUT)
    overwrite: bool = field(default=False, metadata=LEFT_OUT)
    kept_disks: tuple[int, ...] | None = field(default=None, metadata=LEFT_OUT)
    disks_that_stay: tuple[str, ...] | None = field(default=None, metadata=LEFT_OUT)


@frozen(kw_only=True)
class GuestCleanUp(AfterEarlier):
    """Removes the guest, if given only that with this id, and our `volumes` (storage pool, name)."""

    guest: GuestRef
    guest_id: str | None = None
    volumes: tuple[tuple[str, str], ...] = ()


@frozen(kw_only=True)
class VolumeCleanUp:
    """Removes volumes that are named after `marker`, or that a person has `adopted`; `kept_disk` is kept no longer."""

    marker: OwnershipMarker
    orphaned_volumes: tuple[VolumeRef, ...]
    kept_disk: int | None = None
    adopted: bool = False


@frozen(kw_only=True)
class MarkedCopy:
    """A copy of a machine's guest, which has its marker: the id of its row, and its key on the host."""

    id: int
    key: str
    name: str
    marker: OwnershipMarker


@frozen(kw_only=True)
class MarkerCleanUp:
    """Removes the marker from one guest."""

    copy: MarkedCopy


@frozen(kw_only=True)
class ImageCopy:
    """The copy of an image on a host; `place` says in words where."""

    sha256: str
    pool_id: str
    place: str


@frozen(kw_only=True)
class ImageCopyCleanUp:
    """Removes a copy of an image that nothing uses."""

    image_copy: ImageCopy
