"""Errors that all drivers raise with the same message."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from common.errors import NotFound, WrongState
from common.values import GuestRef, OwnershipMarker


def reject_volumes_in_use(used: Mapping[tuple[str, str], Collection[str]]) -> None:
    """Raises WrongState unless `used` is empty. It maps (storage pool, volume) to the users' names."""
    if used:
        texts = [f"{name} in {pool} (by {', '.join(sorted(users))})" for (pool, name), users in sorted(used.items())]
        raise WrongState(
            f"Volumes in use were not deleted: {'; '.join(texts)}.", volumes=[name for _, name in sorted(used)]
        )


def machine_not_found(guest: GuestRef) -> NotFound:
    return NotFound(
        f"The host has no guest {guest.name} with the marker of machine {guest.marker.machine_id}.", name=guest.name
    )


def guest_not_found(name: str, marker: OwnershipMarker) -> NotFound:
    return NotFound(
        f"The host has no guest {name} with that id and the marker of machine {marker.machine_id}.", name=name
    )
