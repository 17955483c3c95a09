"""Reports the changes of a simulated host that any process makes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from common.errors import HostUnreachable
from common.values import GuestChange, GuestEvent
from rackd.drivers.simulated import guests
from rackd.drivers.simulated.store import Store

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_POLL_EVERY_S = 0.2


class Watch:
    """A thread that polls the file's version and reads the changes when it differs."""

    def __init__(self, path: Path, notify: Callable[[GuestChange], None]) -> None:
        self._path = path
        self._notify = notify
        self._stopping = threading.Event()
        # Opened here, not in the thread: every change after this line is reported.
        self._store = Store(path)
        self._version = self._store.version()
        with self._store.reading() as db:
            self._seen = guests.newest_change(db)
        self._thread = threading.Thread(target=self._run, name=f"watch-{path.stem}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Idempotent, and allowed inside `notify`. The thread closes its own connection."""
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        lost = False
        while not self._stopping.wait(_POLL_EVERY_S):
            try:
                if lost:
                    self._reopen()
                    lost = False
                self._poll()
            except HostUnreachable as error:
                if not lost:
                    log.warning("simulated_watch_lost", host=self._path.stem, reason=str(error))
                lost = True
        self._store.close()

    def _poll(self) -> None:
        version = self._store.version()
        if version == self._version:
            return
        with self._store.reading() as db:
            self._seen, changes = guests.changes_after(db, self._seen)
        self._version = version
        for change in changes:
            if self._stopping.is_set():
                return
            self._notify(change)

    def _reopen(self) -> None:
        self._store.close()
        self._store = Store(self._path)
        self._version = self._store.version()
        with self._store.reading() as db:
            self._seen = guests.newest_change(db)
        self._notify(GuestChange(event=GuestEvent.RESYNC))
