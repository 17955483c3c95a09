"""What is wrong with operations, and with hosts that wait for one. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from regiond.reconciler.model import By, Difference, Kind

LEASE_GRACE = timedelta(seconds=60)  # a lease is 15 s: by then any living region should have taken it over
PATIENCE = timedelta(minutes=10)  # more than any step of an operation may take
_CANCEL = "the operation cancelled, and what it did undone"
_UNDO = "look at the logs of the regions, and restart one that undoes nothing"


@frozen(kw_only=True)
class OpenOperation:
    """Moments are of the database's clock."""

    id: int
    kind: str
    state: str
    step: str | None
    host_id: int | None
    host_name: str | None
    system_id: str | None
    hostname: str | None
    lease_until: datetime | None  # None: nobody runs it
    not_before: datetime
    moved_at: datetime  # its last line in the log, or of one that it waits for
    could_run: bool  # a rack reaches its host, and nothing else runs there
    owner_lives: bool = False  # the region that holds the lease says that it is there
    regions: int = 0  # that say so


@frozen(kw_only=True)
class RemovingHost:
    """No operation removes it."""

    id: int
    name: str


def judge(operation: OpenOperation, now: datetime) -> Difference | None:
    """None for one that is run, that waits for its turn, or whose host nobody reaches."""
    if operation.lease_until is None:
        return _not_taken(operation) if operation.could_run and operation.not_before < now - PATIENCE else None
    if operation.lease_until < now - LEASE_GRACE:
        return _difference(
            operation,
            Kind.LEASE_LAPSED,
            since=operation.lease_until,
            found=f"it is {operation.state}, and {_lessee(operation)}",
            expected="a region that takes it over",
            remedy="the lease ended, so that any region may take it at once; none can without a rack for its host",
            mended_by=By.ITSELF,
        )
    if operation.state in ("running", "undoing") and operation.moved_at < now - PATIENCE:
        return _difference(
            operation,
            Kind.OPERATION_STUCK,
            since=operation.moved_at,
            found=f"it is {operation.state} (step {operation.step or 'none'}) without a line in its log",
            expected=f"a line at least every {PATIENCE.seconds // 60} minutes",
            remedy=_UNDO if operation.state == "undoing" else f"{_CANCEL}; or restart the region that runs it",
            mended_by=By.NOBODY if operation.state == "undoing" else By.APPROVAL,
        )
    return None


def of_host(host: RemovingHost) -> Difference:
    return Difference(
        kind=Kind.STATE_UNEXPLAINED,
        key=f"host {host.id}",
        name=host.name,
        host_id=host.id,
        host_name=host.name,
        found="the host is being removed, and no operation does that",
        expected="an operation that ends with the host gone",
        remedy="the host offered again, with all that is known of it; delete it again",
        mended_by=By.ITSELF,
        ours=True,
        data_at_risk=False,
    )


def _not_taken(operation: OpenOperation) -> Difference:
    return _difference(
        operation,
        Kind.OPERATION_STUCK,
        since=operation.not_before,
        found=f"it is {operation.state}, a rack reaches its host, and nobody takes it",
        expected="a region that runs it",
        remedy=_UNDO if operation.state == "undoing" else f"{_CANCEL}; or restart a region that takes no operations",
        mended_by=By.NOBODY if operation.state == "undoing" else By.APPROVAL,
    )


def _lessee(operation: OpenOperation) -> str:
    """Who had it, and who might have taken it over."""
    whoever = "the region that ran it is there, but renews" if operation.owner_lives else "whoever ran it renews"
    others = "no region is there" if not operation.regions else f"regions that are there: {operation.regions}"
    return f"{whoever} its lease no more; {others}{'' if operation.could_run else '; no rack reaches its host'}"


def _difference(
    operation: OpenOperation, kind: Kind, *, since: datetime, found: str, expected: str, remedy: str, mended_by: By
) -> Difference:
    subject = operation.hostname or operation.host_name
    return Difference(
        kind=kind,
        key=f"operation {operation.id}",
        name=f"operation {operation.id} ({operation.kind}{f' of {subject}' if subject else ''})",
        host_id=operation.host_id,
        host_name=operation.host_name,
        system_id=operation.system_id,
        since=since,
        found=found,
        expected=expected,
        remedy=remedy,
        mended_by=mended_by,
        ours=mended_by is By.ITSELF,
        data_at_risk=False,
    )
