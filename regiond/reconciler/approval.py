"""Checks that an approved discrepancy is the one that was shown."""

from __future__ import annotations

from common.errors import WrongState
from regiond.reconciler.model import OpenDiscrepancy, RepairPolicy
from regiond.requests.deletion_plan import DeletionPlan


def check_unchanged(current: OpenDiscrepancy, *, etag: str, shown: str) -> None:
    """Raises WrongState if `etag` does not match or nothing can be approved. `shown`: the `found` text shown before."""
    discrepancy = current.discrepancy
    if discrepancy.etag != etag and current.repaired is not None:
        raise WrongState(
            f"Discrepancy {current.id} is not the one that you approved, and is repaired: {current.repaired}.",
            discrepancy=current.id, repaired=current.repaired,
        )  # fmt: skip
    if discrepancy.etag != etag:
        approved = f" Approved: {shown.rstrip('.')}." if shown else ""
        raise WrongState(
            f"Discrepancy {current.id} has changed, and nothing was done.{approved} Now: {discrepancy.found}. "
            f"{discrepancy.remedy} Read it again, then approve that.",
            discrepancy=current.id, found=discrepancy.found, remedy=discrepancy.remedy, etag=discrepancy.etag,
        )  # fmt: skip
    if discrepancy.repair_policy is RepairPolicy.NONE:
        raise WrongState(
            f"Innkeeper cannot repair the discrepancy of {discrepancy.name}, so there is nothing to approve. "
            f"{discrepancy.remedy}",
            discrepancy=current.id,
        )  # fmt: skip


def plan(current: OpenDiscrepancy) -> DeletionPlan:
    """Returns the plan of the approval: what the repair would do."""
    discrepancy = current.discrepancy
    if current.repaired is not None:
        return DeletionPlan(name=discrepancy.name, effects=(f"It is repaired already: {current.repaired}.",))
    risk = ("The guest or volume may hold data: inspect it first.",) if discrepancy.data_at_risk else ()
    return DeletionPlan(
        name=discrepancy.name,
        effects=(f"Found: {discrepancy.found}; expected: {discrepancy.expected}.", discrepancy.remedy, *risk),
    )


def changed_during_repair(approved: OpenDiscrepancy, current: OpenDiscrepancy) -> WrongState:
    """Returns the error for a repair that found another discrepancy than the approved one."""
    before, now = approved.discrepancy, current.discrepancy
    return WrongState(
        f"{before.name} changed at the same time, and nothing was done. Approved: {before.found}. Now: {now.found}. "
        f"{now.remedy}",
        discrepancy=approved.id,
    )
