"""Whether what a person says yes to is still what they were shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import NotFound, WrongState
from regiond.reconciler.model import By, Standing


def one_of(standing: Iterable[Standing], difference_id: int) -> Standing:
    """Raises NotFound when it does not stand (any more)."""
    found = next((one for one in standing if one.id == difference_id), None)
    if found is None:
        raise NotFound(f"There is no difference {difference_id} (any more): list them anew.", difference=difference_id)
    return found


def refuse_other(standing: Standing, *, etag: str, shown: str) -> None:
    """Raises WrongState with both texts when it is another than what was approved, or nothing that can be approved.

    `shown` is what whoever approves has read, if they say.
    """
    now = standing.difference
    if now.etag != etag:
        was = f" What was approved: {shown.rstrip('.')}." if shown else ""
        raise WrongState(
            f"Difference {standing.id} is another by now, and nothing was done.{was} What it is now: {now.found}; what "
            f"would be done: {now.remedy}. Look at it again, and approve that.",
            difference=standing.id, found=now.found, remedy=now.remedy, etag=now.etag,
        )  # fmt: skip
    if now.mended_by is By.NOBODY:
        raise WrongState(
            f"There is nothing to approve about {now.name}: it is only told. What helps: {now.remedy}.",
            difference=standing.id,
        )


def changed_meanwhile(standing: Standing, now: Iterable[Standing]) -> WrongState:
    """For a mend that found another difference than the one that stood a moment before."""
    found = next((one.difference for one in now if one.id == standing.id), None)
    text = "it is gone" if found is None else f"{found.found}; what would be done: {found.remedy}"
    return WrongState(
        f"{standing.difference.name} changed in this moment, and nothing was done. What was approved: "
        f"{standing.difference.found}. What it is now: {text}.",
        difference=standing.id,
    )
