"""Protocol by which a link reports its calls, in both directions."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from common.rpc.peers import Peer


class CallObserver(Protocol):
    """The block of each method is one call. An exception that leaves the block is the call's outcome."""

    def sent(self, command: str, peer: str, /) -> AbstractContextManager[str]:
        """This end calls a command of the peer with that name. The block of a stream ends with its last item.

        Returns the traceparent that the call carries; empty without a trace.
        """

    def received(self, command: str, peer: Peer, traceparent: str, /) -> AbstractContextManager[None]:
        """A handler of this end runs. `command` is one that this end has: a peer cannot invent names."""


class _Unobserved:
    def sent(self, *_: object) -> AbstractContextManager[str]:
        return nullcontext("")

    def received(self, *_: object) -> AbstractContextManager[None]:
        return nullcontext()


UNOBSERVED = _Unobserved()
