"""What one look at a host tells. Values as in `common/values.py`: they only grow."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import min_len

from common.values import Guest, HostFacts, Mark


@frozen(kw_only=True)
class Problem:
    """Something of a host that could not be read; the rest of the discovery stands."""

    subject: str
    message: str


@frozen(kw_only=True)
class MarkElsewhere:
    """A guest with a mark that is on another member of the same cluster, seen in a listing of the whole cluster."""

    mark: Mark
    member: str


@frozen(kw_only=True)
class UnusedVolume:
    """A volume that is named after a mark, anybody's, and that no guest of the host has.

    `project` is the one it is in, where there are projects. `size_bytes` is None where a listing does not tell it.
    """

    pool_id: str = field(validator=min_len(1))
    name: str = field(validator=min_len(1))
    mark: Mark
    project: str = ""
    size_bytes: int | None = None


@frozen(kw_only=True)
class VolumeRef:
    """Which volume is meant."""

    pool_id: str = field(validator=min_len(1))
    name: str = field(validator=min_len(1))
    project: str = ""


@frozen(kw_only=True)
class Discovery:
    """One look at a host. `elsewhere` is empty where a look at one host shows nothing of others.

    `volumes_told` are the storage pools (their ids) of which it could tell which volumes no guest has; of others
    nothing is known anew.
    """

    facts: HostFacts
    guests: tuple[Guest, ...]
    elsewhere: tuple[MarkElsewhere, ...] = ()
    problems: tuple[Problem, ...] = ()
    calls: int = 0  # round trips to the hypervisor; must not grow with the guests
    unused_volumes: tuple[UnusedVolume, ...] = ()
    volumes_told: tuple[str, ...] = ()
