"""Reads a daemon's settings again while it runs, and applies those that can change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import structlog
from attrs import AttrsInstance, evolve, fields

from common.errors import BadSettings
from common.process.settings import reloadable
from common.process.systemd_notify import ServiceManager

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

T = TypeVar("T", bound=AttrsInstance)


class SettingsReload(Generic[T]):
    """`read` reads the settings as at the start and raises BadSettings. `apply` gets the settings that are in effect
    from now on, and the names of those that have changed.

    `status` is the daemon's status line; what the reload has found is added to it.
    """

    def __init__(
        self,
        running: T,
        *,
        read: Callable[[], T],
        apply: Callable[[T, frozenset[str]], None],
        manager: ServiceManager,
        status: Callable[[], str],
    ) -> None:
        self._running = running
        self._read = read
        self._apply = apply
        self._manager = manager
        self._status = status
        self._notice = ""

    @property
    def status(self) -> str:
        return f"{self._status()} {self._notice}".rstrip()

    def reload(self) -> None:
        """Reports the start and the end to the service manager. Settings with a mistake change nothing."""
        self._manager.reloading()
        try:
            self._reload()
        finally:
            self._manager.ready(self.status)

    def _reload(self) -> None:
        try:
            wanted = self._read()
        except BadSettings as error:
            log.error("settings_rejected", reason=error.message)  # noqa: TRY400  # no bug: expected
            self._notice = "The settings have a mistake and were not read again: see the log."
            return
        changed = _changed(self._running, wanted)
        now = changed & reloadable(type(self._running))
        later = sorted(changed - now)
        before: Any = self._running  # mypy does not know that T is of an attrs class
        self._running = evolve(before, **{name: getattr(wanted, name) for name in now})
        self._apply(self._running, now)
        log.info("settings_reloaded", changed=sorted(now))
        self._notice = f"Restart to apply: {', '.join(later)}." if later else ""
        if later:
            log.warning("restart_needed", settings=later)


def _changed(before: AttrsInstance, after: AttrsInstance) -> frozenset[str]:
    names = (one.name for one in fields(type(before)))
    return frozenset(name for name in names if getattr(before, name) != getattr(after, name))
