"""Whether what a person says yes to is still what they were shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import NotFound, WrongState
from regiond.reconciler.model import By, Standing


def one_of(standing: Iterable[Standing], difference_id: int) -> Standing:
    """Raises NotFound when it is not among those that stand or were mended."""
    found = next((one for one in standing if one.id == difference_id), None)
    if found is None:
        raise NotFound(f"There is no difference {difference_id} (any more): list them anew.", difference=difference_id)
    return found


def refuse_other(standing: Standing, *, etag: str, shown: str) -> None:
    """Raises WrongState with both texts when it is another than what was approved, or nothing that can be approved.

    `shown` is what whoever approves has read, if they say.
    """
    now = standing.difference
    if now.etag != etag and standing.mended is not None:
        raise WrongState(
            f"Difference {standing.id} was another than what was approved, and is mended: {standing.mended}.",
            difference=standing.id, mended=standing.mended,
        )  # fmt: skip
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


def changed_meanwhile(shown: Standing, now: Standing) -> WrongState:
    """For a mend that found another difference than the one that stood a moment before."""
    was, found = shown.difference, now.difference
    return WrongState(
        f"{was.name} changed in this moment, and nothing was done. What was approved: {was.found}. What it is now: "
        f"{found.found}; what would be done: {found.remedy}.",
        difference=shown.id,
    )
