"""The facts of a guest that the baselines find, compared with those of the driver."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from common.values import Guest, PowerState


@frozen(kw_only=True, order=True)
class GuestFacts:
    name: str
    on: bool
    cores: int
    memory_mib: int
    disks: int


def check_alike(simple: Iterable[GuestFacts], guests: Iterable[Guest]) -> None:
    """Raises RuntimeError if they differ: then baseline and driver do not do the same work."""
    ours = sorted(
        GuestFacts(
            name=guest.name, on=guest.power is PowerState.ON, cores=guest.cores, memory_mib=guest.memory_mib,
            disks=len(guest.disks),
        )
        for guest in guests
    )  # fmt: skip
    theirs = sorted(simple)
    if ours != theirs:
        differ = [(one, other) for one, other in zip(ours, theirs, strict=False) if one != other]
        raise RuntimeError(
            f"{len(ours)} guests by the driver, {len(theirs)} by the baseline; differences: {differ[:2]}"
        )
