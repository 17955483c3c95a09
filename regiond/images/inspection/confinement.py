"""Reports once which rights programs that read untrusted images keep on this computer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from attrs import define, field

from regiond.images.inspection.limited_process import unconfined_rights

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@define
class ConfinementReport:
    """`rights` returns them; empty where the kernel can take all."""

    rights: Callable[[], Awaitable[tuple[str, ...]]] = unconfined_rights
    _is_done: bool = field(default=False, init=False)

    async def once(self) -> None:
        """Logs what is missing at the first call. The limits of memory, time and output hold in any case."""
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
