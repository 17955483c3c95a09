"""Sizes of guests and of their disks: as they were asked for, and as they are now."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge, min_len

from common.values import PowerState
from common.words.phrases import number_of


@frozen(kw_only=True)
class GuestSize:
    """The virtual cores and the memory of a guest."""

    cores: int = field(validator=ge(1))
    memory_mib: int = field(validator=ge(1))

    def or_more(self, other: GuestSize) -> GuestSize:
        """Returns the larger number of cores and the larger amount of memory of both."""
        return GuestSize(cores=max(self.cores, other.cores), memory_mib=max(self.memory_mib, other.memory_mib))

    def __str__(self) -> str:
        return f"{number_of(self.cores, 'core')} and {self.memory_mib} MiB of memory"


@frozen(kw_only=True)
class Resized:
    """The size that a guest has now, in this power state. What differs from the requested size is pending."""

    size: GuestSize
    power: PowerState


@frozen(kw_only=True)
class DiskSize:
    """The size of a disk of a guest. The disk is named by its storage pool and its volume."""

    pool_id: str = field(validator=min_len(1))
    volume: str = field(validator=min_len(1))
    size_bytes: int = field(validator=ge(1))


@frozen(kw_only=True)
class GrownDisk:
    """The size that a disk has now, in this power state of its guest. What it lacks of the requested one is pending."""

    size_bytes: int
    power: PowerState
