"""The result of a discovery run."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge, matches_re, min_len

from common.values import Guest, HostFacts, OwnershipMarker


@frozen(kw_only=True)
class Problem:
    """A part of a host that could not be read, or what an administrator should mend. The rest is valid."""

    subject: str
    message: str

    @classmethod
    def of_pool(cls, name: str, status: str, remedy: str = "") -> Problem:
        """A storage pool that is not available; `remedy` is a sentence."""
        message = f"The storage pool is {status}: no disk can be made in it."
        return cls(subject=f"storage pool {name}", message=f"{message} {remedy}".rstrip())


@frozen(kw_only=True)
class MarkerOnOtherMember:
    """A marked guest on another member of the same cluster, found in a listing of the whole cluster."""

    marker: OwnershipMarker
    member: str


@frozen(kw_only=True)
class OrphanedVolume:
    """A volume named after a marker, of any installation, that no guest of the host uses.

    `project` is empty for hypervisors without projects. `size_bytes` is None if the listing does not have it.
    """

    pool_id: str = field(validator=min_len(1))
    name: str = field(validator=min_len(1))
    marker: OwnershipMarker
    project: str = ""
    size_bytes: int | None = None


@frozen(kw_only=True)
class ImageCopy:
    """A copy of an image, of any installation, that deployments on the host use. `sha256` is that of its content.

    `pool_id` is empty for LXD's image store, which is in no storage pool. `size_bytes` is what the copy takes there.
    An incomplete copy is being made, or its rack was killed.
    """

    sha256: str = field(validator=matches_re(r"[0-9a-f]{64}"))
    pool_id: str = ""
    size_bytes: int = field(validator=ge(0))
    complete: bool = True


@frozen(kw_only=True)
class VolumeRef:
    """Identifies a volume."""

    pool_id: str = field(validator=min_len(1))
    name: str = field(validator=min_len(1))
    project: str = ""


@frozen(kw_only=True)
class Discovery:
    """Everything that one discovery run found. `on_other_members` is empty outside a cluster.

    `orphaned_volumes` covers the storage pools in `inspected_pools` (ids); the other pools could not be inspected.
    `image_copies` covers those in `image_pools`, with an empty id for LXD's image store. The space that they take in a
    storage pool is not part of its `used_elsewhere_bytes`.
    """

    facts: HostFacts
    guests: tuple[Guest, ...]
    on_other_members: tuple[MarkerOnOtherMember, ...] = ()
    problems: tuple[Problem, ...] = ()
    calls: int = 0  # round trips to the hypervisor; does not grow with the guests
    orphaned_volumes: tuple[OrphanedVolume, ...] = ()
    inspected_pools: tuple[str, ...] = ()
    image_copies: tuple[ImageCopy, ...] = ()
    image_pools: tuple[str, ...] = ()
