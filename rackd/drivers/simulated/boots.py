"""Boots the guests of simulated hosts: those that have an image report by themselves, as cloud-init does."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from attrs import define, field

from common.addresses.report_url import ReportAddress, ReportPage
from common.errors import HostUnreachable, InnkeeperError
from rackd.drivers.simulated import deployments
from rackd.drivers.simulated.store import Store

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

Report = Callable[[int, str], None]
Fetch = Callable[[int, str], bytes]

THREAD = "simulated-boots"
_RETRY_S = 1.0
_TRIES = 30
_IDLE_S = 60.0  # the thread ends after this time without a boot


@define(order=True)
class _Boot:
    due_at: float  # on the clock of `time.monotonic`
    number: int
    path: Path = field(order=False)
    guest_id: str = field(order=False)
    tries_left: int = field(order=False, default=_TRIES)


class SimulatedBoots:
    """Reports for all guests of a rack, in one thread that runs while some boot.

    A boot is stored in the host's file, so that another process continues it: `resume` when a host is opened.
    """

    def __init__(self, report: Report, fetch: Fetch) -> None:
        """`report` and `fetch` get the id of the deployment and its secret; `fetch` returns the guest's user data."""
        self._report_to_region = report
        self._fetch = fetch
        self._changed = threading.Condition()
        self._queue: list[_Boot] = []
        self._known: set[tuple[Path, str]] = set()
        self._count = 0
        self._thread: threading.Thread | None = None

    def add(self, path: Path, guest_id: str, *, after_s: float) -> None:
        """The guest reports after this time, unless it is powered off before. Idempotent."""
        with self._changed:
            if (path, guest_id) in self._known:
                return
            self._known.add((path, guest_id))
            self._count += 1
            heapq.heappush(
                self._queue, _Boot(due_at=time.monotonic() + after_s, number=self._count, path=path, guest_id=guest_id)
            )
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
                self._thread.start()
            self._changed.notify()

    def resume(self, path: Path, store: Store) -> None:
        """Continues the boots that a process has begun and not finished."""
        with store.reading() as db:
            boots = deployments.boots(db)
        for guest_id, left_s in boots:
            self.add(path, guest_id, after_s=left_s)

    def _run(self) -> None:
        while (boot := self._next()) is not None:
            try:
                again = self._boot(boot)
            except HostUnreachable as error:
                log.warning("simulated_boot_failed", host=boot.path.stem, reason=error.message)
                again = True
            with self._changed:
                if again and boot.tries_left > 1:
                    boot.tries_left -= 1
                    boot.due_at = time.monotonic() + _RETRY_S
                    heapq.heappush(self._queue, boot)
                else:
                    self._known.discard((boot.path, boot.guest_id))

    def _next(self) -> _Boot | None:
        """Waits for the next boot that is due; None when there was none for a while."""
        with self._changed:
            idle_until = time.monotonic() + _IDLE_S
            while True:
                now = time.monotonic()
                if self._queue and self._queue[0].due_at <= now:
                    return heapq.heappop(self._queue)
                if not self._queue and now >= idle_until:
                    self._thread = None
                    return None
                self._changed.wait((self._queue[0].due_at if self._queue else idle_until) - now)

    def _boot(self, boot: _Boot) -> bool:
        """Returns whether the guest tries again: it could not reach the region."""
        if not boot.path.exists():  # the host's file was removed
            return False
        store = Store(boot.path)
        try:
            with store.reading() as db:
                address = deployments.report_of(db, boot.guest_id)
            if address is not None:
                try:
                    self._report(boot, store, address)
                except InnkeeperError as error:
                    log.info("simulated_report_failed", host=boot.path.stem, code=error.code, reason=error.message)
                    if error.retryable:
                        return True
            with store.writing() as db:
                deployments.end_boot(db, boot.guest_id)
            return False
        finally:
            store.close()

    def _report(self, boot: _Boot, store: Store, address: ReportAddress) -> None:
        """Reports the boot. As with cloud-init, a guest that cannot fetch its user data does not report."""
        if address.page is ReportPage.USER_DATA:
            content = self._fetch(address.deployment_id, address.secret)
            with store.writing() as db:
                deployments.set_fetched(db, boot.guest_id, content)
        self._report_to_region(address.deployment_id, address.secret)
