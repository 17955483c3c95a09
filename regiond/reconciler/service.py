"""Finds discrepancies every five minutes and on request, and repairs them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import structlog

from common.errors import DatabaseUnavailable, DeadlineExceeded, InnkeeperError
from common.process.periodic import PeriodicTask
from regiond.db.pool import Database, Db, reading
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.reconciler import approval, store
from regiond.reconciler.detection import find_discrepancies
from regiond.reconciler.model import CheckOutcome, Discrepancy, DiscrepancyKind, OpenDiscrepancy
from regiond.reconciler.repairs import AT_HOST, repair
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import DeletionPlan

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

SWEEP_EVERY_S = 300.0
FIRST_SWEEP_AFTER_S = 60.0  # by then racks are linked and leases of dead regions have been taken over
DEADLINE_S = 60.0
MAX_AT_HOST = 100  # operations of each kind that a sweep opens: they wait in the hosts' queues, among users' operations
MAX_CONFLICTS = 1000  # with concurrent checks; in practice the deadline ends a sweep


OnCheck = Callable[[CheckOutcome, float], None]  # and the seconds that the check took


def _ignore_check(_: CheckOutcome, _seconds: float) -> None:
    """The default callback."""


class Reconciler:
    """Sweeps and repairs. Compares the ledger with the last refreshes and calls no rack.

    Each sweep reads one snapshot, so it never sees a part of a transaction; subjects of open operations are no
    discrepancies. Only one region sweeps at a time.
    """

    def __init__(
        self,
        database: Database,
        *,
        first_after_s: float = FIRST_SWEEP_AFTER_S,
        every_s: float = SWEEP_EVERY_S,
        auto_repair: bool = True,
        lock_timeout_s: float = store.LOCK_TIMEOUT_S,
        max_at_host: int = MAX_AT_HOST,
        on_check: OnCheck = _ignore_check,
    ) -> None:
        """`auto_repair` False: sweeps only report; approved repairs still run. `on_check` runs after each check."""
        self._database = database
        self._every_s = every_s
        self._auto_repair = auto_repair
        self._lock_timeout_s = lock_timeout_s
        self._max_at_host = max_at_host
        self._on_check = on_check
        self._sweep_lock = asyncio.Lock()
        self._task = PeriodicTask("reconciler_sweep", self.sweep, every_s=every_s, first_after_s=first_after_s)

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        await self._task.stop()

    async def check(
        self, *, host_id: int | None = None, kind: DiscrepancyKind | None = None, system_id: str | None = None
    ) -> tuple[OpenDiscrepancy, ...]:
        """Compares now and returns the discrepancies that match, the longest known first; repairs nothing.

        Raises DeadlineExceeded after a minute.
        """
        try:
            found = await self._sweep(on_request=True)
        except TimeoutError as error:
            raise DeadlineExceeded(f"Comparing ledger and hosts took more than {DEADLINE_S:.0f} s.") from error
        return tuple(
            one
            for one in found
            if host_id in (None, one.discrepancy.host_id)
            and kind in (None, one.discrepancy.kind)
            and system_id in (None, one.discrepancy.system_id)
        )

    read_stored = reading(store.read)

    async def read(self, discrepancy_id: int) -> OpenDiscrepancy:
        """Returns the discrepancy, compared now, or its record if it was repaired.

        Raises NotFound if it is neither open nor repaired, and the errors of `check`.
        """
        await self.check()
        return await self.read_stored(discrepancy_id)

    async def approve(self, caller: Caller, discrepancy_id: int, *, etag: str, shown: str = "") -> OpenDiscrepancy:
        """Repairs the discrepancy that `caller` was shown with `etag`; returns it with the repair. Idempotent.

        `shown` is the text of `found` that was shown, for the error message. Raises NotFound if the discrepancy has
        disappeared, WrongState if it changed or has no repair, and the errors of the repair; then nothing has changed.
        """
        caller.require_admin()
        check_unchanged = partial(approval.check_unchanged, etag=etag, shown=shown)
        approved = await self.read(discrepancy_id)
        check_unchanged(approved)
        if approved.repaired is not None:
            return approved
        done = await self._repair(discrepancy_id, caller=caller, check=check_unchanged)
        if done is None:
            current = await self.read(discrepancy_id)
            if current.repaired is None:
                raise approval.changed_during_repair(approved, current)
            check_unchanged(current)
            return current
        log.warning(
            "discrepancy_approved", discrepancy=done.id, kind=done.discrepancy.kind.value, repaired=done.repaired
        )
        return done

    async def approval_plan(self, caller: Caller, discrepancy_id: int, *, etag: str, shown: str = "") -> DeletionPlan:
        """Returns the plan of `approve`, as a dry run; raises the errors of its checks."""
        caller.require_admin()
        found = await self.read(discrepancy_id)
        approval.check_unchanged(found, etag=etag, shown=shown)
        return approval.plan(found)

    recent_repairs = reading(store.recent_repairs)

    async def sweep(self) -> tuple[OpenDiscrepancy, ...]:
        """Compares, stores the discrepancies, makes due repairs and returns the repairs. Raises TimeoutError."""
        await self._sweep(on_request=False)
        return await self._repair_due() if self._auto_repair else ()

    async def _sweep(self, *, on_request: bool) -> list[OpenDiscrepancy]:
        async def sweep(db: Db) -> list[OpenDiscrepancy] | None:
            await store.use_snapshot(db)
            if not on_request and not await store.try_sweep_lock(db):
                return None
            return await _record(db, await find_discrepancies(db), is_sweep=not on_request)

        async with asyncio.timeout(DEADLINE_S), self._sweep_lock:
            outcome, began_at = CheckOutcome.FAILED, time.monotonic()
            try:
                found = await self._database.in_transaction(sweep, tries=MAX_CONFLICTS)
                outcome = CheckOutcome.SKIPPED if found is None else CheckOutcome.COMPLETED
            finally:
                self._on_check(outcome, time.monotonic() - began_at)
        return found or []

    async def _repair_due(self) -> tuple[OpenDiscrepancy, ...]:
        """Makes each due repair in its own transaction, so that a failed one does not prevent the others."""
        repaired: list[OpenDiscrepancy] = []
        async with asyncio.timeout(DEADLINE_S):
            async with self._database.connection() as db:
                due = await store.due(
                    db, older_than_s=self._every_s / 2, at_host=AT_HOST, max_at_host=self._max_at_host
                )
            for discrepancy_id in due:
                done = await self._try_repair(discrepancy_id)
                repaired += [done] if done is not None else []
        for one in repaired:
            log.warning(
                "discrepancy_repaired", discrepancy=one.id, kind=one.discrepancy.kind.value, repaired=one.repaired
            )
        return tuple(repaired)

    async def _try_repair(self, discrepancy_id: int) -> OpenDiscrepancy | None:
        try:
            return await self._repair(discrepancy_id)
        except (DatabaseUnavailable, TimeoutError):
            raise
        except InnkeeperError as error:
            log.info("repair_postponed", discrepancy=discrepancy_id, reason=error.message)
        except Exception:  # a bug in one repair must not prevent the others
            log.exception("repair_failed", discrepancy=discrepancy_id)
        return None

    async def _repair(
        self,
        discrepancy_id: int,
        *,
        caller: Caller | None = None,
        check: Callable[[OpenDiscrepancy], None] = lambda _: None,
    ) -> OpenDiscrepancy | None:
        return await self._database.in_transaction(
            partial(
                repair_one,
                discrepancy_id=discrepancy_id,
                caller=caller,
                check=check,
                lock_timeout_s=self._lock_timeout_s,
            )
        )


async def repair_one(
    db: Db,
    discrepancy_id: int,
    *,
    caller: Caller | None = None,
    check: Callable[[OpenDiscrepancy], None] = lambda _: None,
    lock_timeout_s: float = store.LOCK_TIMEOUT_S,
) -> OpenDiscrepancy | None:
    """Repairs the discrepancy and records an event, in the caller's transaction; None if nothing is left to repair.

    `caller` has approved it; `check` raises if it is not the approved one. Raises that error, Busy, and the errors of
    the repair; the transaction must then roll back.
    """
    async with store.lock_timeout(db, lock_timeout_s):
        current = await store.lock(db, discrepancy_id)
        if current is None:
            return None
        check(current)
        repaired = await repair(db, current.discrepancy)
    if repaired is None:
        return None
    stored = await store.record_repair(db, current.id, repaired)
    message = f"{current.discrepancy.name}: {repaired}"
    await _record_event(
        db, "discrepancy_repaired", current.discrepancy, message, _level(current.discrepancy), caller=caller,
        repaired=repaired,
    )  # fmt: skip
    return stored


async def _record(db: Db, found: list[Discrepancy], *, is_sweep: bool) -> list[OpenDiscrepancy]:
    current, new = await store.record(db, found, is_sweep=is_sweep)
    for one in new:
        found_level = _level(one.discrepancy)
        await _record_event(db, "discrepancy_found", one.discrepancy, one.discrepancy.message, found_level)
    for resolved in await store.resolve(db, current):
        message = f"{resolved.name}: resolved: {resolved.found}"
        await _record_event(db, "discrepancy_resolved", resolved, message, Level.INFO)
    return current


def _level(discrepancy: Discrepancy) -> Level:
    """Returns the level of the event: low for wrong settings, which affect all guests at once and need no person."""
    return Level.INFO if discrepancy.kind is DiscrepancyKind.WRONG_AUTOSTART else Level.WARNING


async def _record_event(
    db: Db,
    kind: str,
    discrepancy: Discrepancy,
    message: str,
    level: Level,
    *,
    caller: Caller | None = None,
    **more: str,
) -> None:
    details = {
        "kind": discrepancy.kind.value, "found": discrepancy.found, "expected": discrepancy.expected,
        "remedy": discrepancy.remedy, "repair_policy": discrepancy.repair_policy.value, "ours": discrepancy.ours,
        "data_at_risk": discrepancy.data_at_risk, **more,
    }  # fmt: skip
    await Events.record(
        db, kind, message, level=level, caller=caller, host_id=discrepancy.host_id, system_id=discrepancy.system_id,
        details=details,
    )  # fmt: skip
