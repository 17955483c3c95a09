"""What the answers of several services share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from common.errors import NotFound
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan

DELETION_PLAN = DeletionPlan(
    name="east",
    deleted=(AffectedRecord(kind="zone", id="5", name="east"),),
    effects=("Members that move to the zone 'west': 1 VM host.",),
)


def named(known: Mapping[str, Any]) -> Callable[[str], Any]:
    """An answer to a read by name: the sample, or NotFound."""
    return lambda name: known.get(name) or NotFound("Not Found")


def changed(service: str, **samples: Any) -> dict[str, Any]:
    """The answers to creating, updating and deleting each kind of object."""
    return {
        f"{service}.{verb}_{kind}": DELETION_PLAN if verb == "delete" else sample
        for kind, sample in samples.items()
        for verb in ("create", "update", "delete")
    }
