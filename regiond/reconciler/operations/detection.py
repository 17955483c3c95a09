"""Finds operations that make no progress, and hosts whose removal no operation continues."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from regiond.reconciler.model import Discrepancy, DiscrepancyKind, RepairPolicy, Subject

LEASE_GRACE = timedelta(seconds=60)  # a lease lasts 15 s: a live region takes it over well within this time
PROGRESS_DEADLINE = timedelta(minutes=10)  # longer than any step of an operation takes
FAILURES = 10  # of undoing, which take four minutes
_RESTART = (
    "Check the logs of the regions, and restart the one that should undo it. If it cannot be undone, end it as it is: "
    "innkeeper operation abandon {}"
)
_ABANDON = (
    "Repair what the error names. If that is not possible, end the operation as it is: innkeeper operation abandon {}"
)
_CANCEL = "This cancels the operation, which then undoes what it did."


@frozen(kw_only=True)
class OpenOperation(Subject):
    """An operation that has not ended. Times are those of the database clock."""

    WORD = "operation"

    kind: str
    state: str
    step: str | None
    hostname: str | None
    lease_until: datetime | None  # None: no region runs it
    not_before: datetime
    progress_at: datetime  # of the last line in its log, or in the log of an operation that it waits for
    began_at: datetime
    failures: int = 0
    undo_fails: str | None = None  # why the last attempt to undo it failed
    could_run: bool  # a rack reaches its host, and no other operation runs there
    owner_lives: bool = False  # the region that has the lease sends heartbeats
    regions: int = 0  # number of regions that send heartbeats

    @property
    def name(self) -> str:
        subject = self.hostname or self.host_name
        return f"operation {self.id} ({self.kind}{f' of {subject}' if subject else ''})"


@frozen(kw_only=True)
class HostBeingRemoved:
    """A host in state `removing`, without an operation that removes it."""

    id: int
    name: str


def detect(operation: OpenOperation, now: datetime) -> Discrepancy | None:
    """Returns the discrepancy; None if a region runs the operation, it is queued, or no rack reaches its host."""
    if operation.undo_fails and operation.failures >= FAILURES and operation.could_run:
        return _undone_in_vain(operation, operation.undo_fails)
    if operation.lease_until is None:
        due = operation.could_run and operation.not_before < now - PROGRESS_DEADLINE
        return _not_started(operation) if due else None
    if operation.lease_until < now - LEASE_GRACE:
        return _lease_expired(operation, operation.lease_until)
    if operation.state in ("running", "undoing") and operation.progress_at < now - PROGRESS_DEADLINE:
        return _without_progress(operation)
    return None


def removal_without_operation(host: HostBeingRemoved) -> Discrepancy:
    return Discrepancy(
        kind=DiscrepancyKind.STATE_WITHOUT_OPERATION,
        key=f"host {host.id}",
        name=host.name,
        host_id=host.id,
        host_name=host.name,
        found="the host is being removed, and no operation does so",
        expected="an operation that removes the host",
        remedy="This makes the host available again; delete it again.",
        repair_policy=RepairPolicy.AUTOMATIC,
        ours=True,
        data_at_risk=False,
    )


def _lease_expired(operation: OpenOperation, since: datetime) -> Discrepancy:
    return Discrepancy.of(
        operation,
        DiscrepancyKind.LEASE_EXPIRED,
        RepairPolicy.AUTOMATIC,
        since=since,
        found=f"the operation is {operation.state}, and {_lease_owner(operation)}",
        expected="a region that takes over the operation",
        remedy="This ends the lease, so that any region with a rack for the host can take over the operation.",
    )


def _without_progress(operation: OpenOperation) -> Discrepancy:
    return _stuck(
        operation,
        since=operation.progress_at,
        found=f"the operation is {operation.state} (step {operation.step or 'none'}) and logs no progress",
        expected=f"a log line at least every {PROGRESS_DEADLINE.seconds // 60} minutes",
    )


def _not_started(operation: OpenOperation) -> Discrepancy:
    return _stuck(
        operation,
        since=operation.not_before,
        found=f"the operation is {operation.state}, a rack reaches its host, and no region runs it",
        expected="a region that runs the operation",
    )


def _undone_in_vain(operation: OpenOperation, reason: str) -> Discrepancy:
    """Returns the discrepancy of an operation whose undoing fails although its host is reached."""
    return Discrepancy.of(
        operation,
        DiscrepancyKind.OPERATION_STUCK,
        RepairPolicy.NONE,
        since=operation.began_at,
        found=f"undoing the operation fails again and again: {reason.rstrip('.')}",
        expected="an operation that ends",
        remedy=_ABANDON.format(operation.id),
    )


def _stuck(operation: OpenOperation, *, since: datetime, found: str, expected: str) -> Discrepancy:
    """Returns the discrepancy of a stuck operation. One that is being undone cannot be cancelled."""
    undoing = operation.state == "undoing"
    return Discrepancy.of(
        operation,
        DiscrepancyKind.OPERATION_STUCK,
        RepairPolicy.NONE if undoing else RepairPolicy.APPROVAL,
        since=since,
        found=found,
        expected=expected,
        remedy=_RESTART.format(operation.id) if undoing else _CANCEL,
    )


def _lease_owner(operation: OpenOperation) -> str:
    """Returns words for the region that has the lease, and for the regions that could take it over."""
    owner = "the region that runs it is alive but" if operation.owner_lives else "the region that ran it"
    others = f"{operation.regions} regions are alive" if operation.regions else "no region is alive"
    return f"{owner} does not renew its lease; {others}{'' if operation.could_run else '; no rack reaches its host'}"
