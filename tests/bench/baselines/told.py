"""What the simple ways find out of a guest, and whether it is what a driver of ours found."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from common.values import Guest, PowerState


@frozen(kw_only=True, order=True)
class Told:
    name: str
    on: bool
    cores: int
    memory_mib: int
    disks: int


def check_alike(simple: Iterable[Told], guests: Iterable[Guest]) -> None:
    """Raises RuntimeError: two ways that find different things do not do the same work."""
    ours = sorted(
        Told(
            name=guest.name, on=guest.power is PowerState.ON, cores=guest.cores, memory_mib=guest.memory_mib,
            disks=len(guest.disks),
        )
        for guest in guests
    )  # fmt: skip
    theirs = sorted(simple)
    if ours != theirs:
        differ = [(one, other) for one, other in zip(ours, theirs, strict=False) if one != other]
        raise RuntimeError(f"{len(ours)} guests by our driver, {len(theirs)} the simple way; they differ: {differ[:2]}")
