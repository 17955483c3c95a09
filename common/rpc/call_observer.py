"""Protocol by which a link reports its calls, in both directions."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class CallObserver(Protocol):
    """The block of each method is one call. An exception that leaves the block is the call's outcome."""

    def sent(self, command: str, peer: str) -> AbstractContextManager[None]:
        """This end calls a command of the peer with that name. The block of a stream ends with its last item."""

    def received(self, command: str) -> AbstractContextManager[None]:
        """A handler of this end runs. `command` is one that this end has: a peer cannot invent names."""


class _Unobserved:
    def sent(self, _: str, peer: str) -> AbstractContextManager[None]:
        return nullcontext()

    def received(self, _: str) -> AbstractContextManager[None]:
        return nullcontext()


UNOBSERVED = _Unobserved()
