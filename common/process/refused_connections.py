"""Logs connections that are refused because no file descriptor is left; Twisted says it too quietly."""

from __future__ import annotations

import structlog
from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from common.rate_limit import RateLimiter

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

EVERY_S = 60.0
# The words of twisted.internet.tcp; a test exhausts the descriptors of a real daemon.
_WORDS = ("EMFILE encountered", "Could not accept new connection")
_REASON = "Too many open files: raise LimitNOFILE of the service, or find out what uses its files."


@implementer(ILogObserver)
class RefusedConnections:
    """An observer of Twisted's log. Warns at most once a minute."""

    def __init__(self) -> None:
        self._allowed = RateLimiter(every_s=EVERY_S)

    def __call__(self, event: LogEvent) -> None:
        if str(event.get("log_format") or "").startswith(_WORDS) and self._allowed.allow():
            log.warning("connections_refused", reason=_REASON)
