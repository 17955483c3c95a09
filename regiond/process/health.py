"""The health of one region: the state of its parts, and whether it can serve requests.

No region leads the others: each reports itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from attrs import frozen

from common.errors import InnkeeperError

Probe = Callable[[], Awaitable[str | None]]

DEADLINE_S = 5.0


@frozen(kw_only=True)
class Part:
    """A part of the region. `problem` is None if it works; without a required part the region cannot serve."""

    name: str
    problem: str | None
    is_required: bool

    @property
    def status(self) -> str:
        if self.problem is None:
            return "ok"
        return "failed" if self.is_required else "degraded"


@frozen
class Health:
    parts: tuple[Part, ...] = ()

    @property
    def not_ready(self) -> str | None:
        """Returns why the region cannot serve; None if it can."""
        return next((one.problem for one in self.parts if one.is_required and one.problem is not None), None)

    @property
    def status(self) -> str:
        if self.not_ready is not None:
            return "not ready"
        return "ready" if all(one.problem is None for one in self.parts) else "degraded"


class HealthCheck:
    """`required` and `others` are the probes by part. Each returns the part's problem, in words for anybody."""

    def __init__(
        self, required: Mapping[str, Probe], others: Mapping[str, Probe], *, deadline_s: float = DEADLINE_S
    ) -> None:
        self._required = required
        self._probes = {**required, **others}
        self._deadline_s = deadline_s
        self._running: asyncio.Task[Health] | None = None

    async def check(self) -> Health:
        """Returns within the deadline. Callers at the same time share one check: anybody may ask for it."""
        if self._running is None:
            self._running = asyncio.create_task(self._check(), name="health")
            self._running.add_done_callback(self._ended)
        return await asyncio.shield(self._running)

    async def _check(self) -> Health:
        problems = await asyncio.gather(*(self._problem(name, probe) for name, probe in self._probes.items()))
        return Health(
            tuple(
                Part(name=name, problem=problem, is_required=name in self._required)
                for name, problem in zip(self._probes, problems, strict=True)
            )
        )

    async def _problem(self, name: str, probe: Probe) -> str | None:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await probe()
        except TimeoutError:
            return f"The {name} has not answered for {self._deadline_s:.0f} s."
        except InnkeeperError as error:
            return error.message

    def _ended(self, _: asyncio.Task[Health]) -> None:
        self._running = None
