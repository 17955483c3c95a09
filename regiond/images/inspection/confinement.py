"""Reports once which rights cannot be taken on this computer from programs that read untrusted images."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from attrs import define, field

from regiond.images.inspection.limited_process import unconfined_rights

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@define
class ConfinementReport:
    """The report of one process. `rights` returns the rights that remain; empty where the kernel can take all."""

    rights: Callable[[], Awaitable[tuple[str, ...]]] = unconfined_rights
    _is_done: bool = field(default=False, init=False)

    async def once(self) -> None:
        """Logs the remaining rights at the first call. The limits of memory, time and output always apply."""
        if self._is_done:
            return
        self._is_done = True
        if kept := await self.rights():
            log.warning(
                "image_checks_not_confined",
                unprotected=kept,
                reason="the kernel, or a filter around the region, does not permit it",
                remedy="use Linux 5.13 or newer with Landlock (lsm=landlock,…) on amd64 or arm64",
            )
