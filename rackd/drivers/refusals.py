"""What every driver says when it is asked for what would hit something else."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from common.errors import NotFound, WrongState
from common.values import Mark


def refuse_used(used: Mapping[tuple[str, str], Collection[str]]) -> None:
    """Raises WrongState when there is any. `used`: by (storage pool, volume), who uses it."""
    if used:
        texts = [f"{name} in {pool} (by {', '.join(sorted(users))})" for (pool, name), users in sorted(used.items())]
        raise WrongState(
            f"Volumes that are in use stay: {'; '.join(texts)}.", volumes=[name for _, name in sorted(used)]
        )


def no_such_copy(name: str, mark: Mark) -> NotFound:
    return NotFound(f"The host has no guest {name} of that id with the mark of machine {mark.machine_id}.", name=name)
