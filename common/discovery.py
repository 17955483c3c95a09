"""The result of a discovery run."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import min_len

from common.values import Guest, HostFacts, OwnershipMarker


@frozen(kw_only=True)
class Problem:
    """A part of a host that could not be read, or what an administrator should mend. The rest is valid."""

    subject: str
    message: str


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
class VolumeRef:
    """Identifies a volume."""

    pool_id: str = field(validator=min_len(1))
    name: str = field(validator=min_len(1))
    project: str = ""


@frozen(kw_only=True)
class Discovery:
    """Everything that one discovery run found. `on_other_members` is empty outside a cluster.

    `orphaned_volumes` covers the storage pools in `inspected_pools` (ids); the other pools could not be inspected.
    """

    facts: HostFacts
    guests: tuple[Guest, ...]
    on_other_members: tuple[MarkerOnOtherMember, ...] = ()
    problems: tuple[Problem, ...] = ()
    calls: int = 0  # round trips to the hypervisor; does not grow with the guests
    orphaned_volumes: tuple[OrphanedVolume, ...] = ()
    inspected_pools: tuple[str, ...] = ()
