"""Listens on TCP ports such that a flood of connections does not keep the event loop from requests."""

from __future__ import annotations

from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.tcp import Port

ACCEPTS_PER_TURN = 4
BACKLOG = 4096  # connections that wait to be accepted; the TCP of any further peer retries after a second


class _FairPort(Port):
    """Accepts a few connections in each turn of the event loop, where Twisted accepts 100 and more."""

    @property
    def numberAccepts(self) -> int:  # noqa: N802  # Twisted's
        return ACCEPTS_PER_TURN

    @numberAccepts.setter
    def numberAccepts(self, number: int) -> None:  # noqa: N802  # Twisted's
        """Ignores Twisted's own number, which grows as long as connections wait."""


def listen(factory: IProtocolFactory, *, host: str, port: int) -> IListeningPort:
    """Returns the listening port; port 0 takes a free one.

    Raises twisted.internet.error.CannotListenError when the address is taken.
    """
    from twisted.internet import reactor  # noqa: PLC0415  # the entry module installs the reactor before

    listening = _FairPort(port, factory, BACKLOG, host, reactor)
    listening.startListening()
    return listening
