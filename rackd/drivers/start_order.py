"""A rule that all drivers apply when a guest is to be started once in another order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from common.errors import DriverFailed, NotFound, Unsupported, WrongState
from rackd.drivers.driver_errors import MISREAD
from rackd.drivers.start_refusals import StartChange, refused

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@contextmanager
def before_boot(name: str) -> Iterator[None]:
    """Logs why a guest boots as always. The rack reports that, so the start in another order stays pending."""
    try:
        yield
    except (DriverFailed, NotFound, Unsupported, WrongState, *MISREAD) as error:
        log.warning("boot_order_not_changed", guest=name, reason=str(error), exc_info=isinstance(error, MISREAD))
        refused(StartChange.BOOT, error)
