"""VM hosts of a watched MAAS, and what differs between what it says and what they report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from attrs import frozen

from regiond.maas.imports.model import MaasImport

MAX_DIFFERENCES = 1000  # of one import that are stored


class DifferenceKind(StrEnum):
    ONLY_IN_MAAS = "only_in_maas"  # the host does not list the VM
    ONLY_ON_HOST = "only_on_host"  # MAAS does not have the VM
    POWER_STATE = "power_state"
    CORES = "cores"
    MEMORY = "memory"  # MiB
    PINNED_CORES = "pinned_cores"  # of the host, with their NUMA nodes
    HUGE_PAGES = "huge_pages"
    MAC_ADDRESSES = "mac_addresses"
    MOVED = "moved"  # to another member of its cluster
    DELETED_IN_MAAS = "deleted_in_maas"  # of a host that was taken over: MAAS has no machine for the VM any more
    IN_MOTION = "in_motion"  # MAAS is at work on the machine
    HOST_NOT_READY = "host_not_ready"  # nothing of this host can be compared


@frozen(kw_only=True)
class Found:
    """One difference of a comparison. `vm` is the name on the host; empty: it concerns the host."""

    host_id: int
    vm: str
    kind: DifferenceKind
    in_maas: str
    here: str


@frozen(kw_only=True)
class Difference(Found):
    """A difference that is stored. `since` is when it was first seen; its values may have changed after that."""

    host_name: str
    since: datetime

    def __str__(self) -> str:
        here = self.here.removesuffix(".")  # that of a host that is not ready is a sentence
        return (
            f"{self.vm or self.host_name}: {self.kind.value}, in MAAS {self.in_maas or 'none'}, here {here or 'none'}"
        )


@frozen(kw_only=True)
class Presence:
    """Whether MAAS has a host, and how many machines on it; None: not compared yet, or it may not show all hosts."""

    source_id: str
    in_maas: bool | None = None
    machines_in_maas: int | None = None


@frozen(kw_only=True)
class WatchedHost(Presence):
    """A VM host of a watched MAAS. `taken_at` is when Innkeeper took it over; None: that MAAS is in charge."""

    host_id: int
    host_name: str
    import_id: int
    taken_at: datetime | None = None


@frozen(kw_only=True)
class ParallelRun:
    """The last comparison of an import that is watched. `more` counts differences that are not stored."""

    maas_import: MaasImport
    hosts: Sequence[WatchedHost]
    differences: Sequence[Difference]
    more: int = 0


@frozen(kw_only=True)
class GivenBack:
    """A host that MAAS is in charge of again: the hostnames of its machines, and the operations that forget them."""

    host_id: int
    host_name: str
    machines: tuple[str, ...]
    operations: tuple[int, ...]
