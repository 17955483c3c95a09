"""A stream of a host that stays open, and the rack through which it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

from attrs import frozen

from common.rpc.commands.command import Command
from common.rpc.link import Link

Q = TypeVar("Q")
R = TypeVar("R")
T = TypeVar("T")


@frozen(eq=False)
class HostStream(Generic[T]):
    """An open stream. `items` are the items after the first, which meant that the stream is open."""

    items: AsyncGenerator[T, None]
    _link: Link

    async def call(self, command: Command[Q, R], request: Q, *, deadline_s: float) -> R:
        """Calls the same rack. Raises what `Link.call` raises."""
        return await self._link.call(command, request, deadline_s=deadline_s)

    async def close(self) -> None:
        """Ends the stream at the rack. Idempotent."""
        await self.items.aclose()
