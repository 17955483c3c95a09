"""Links over TLS: the Twisted protocol that carries frames, and `connect`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog
from OpenSSL import SSL
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionDone, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Factory
from twisted.protocols.basic import Int32StringReceiver
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from common.bridge import from_deferred
from common.errors import InnkeeperError, LinkLost, NotTrusted
from common.rpc.frames import LINK_ID, MAX_FRAME_BYTES, Error, encode
from common.rpc.handlers import EventHandler, Handler, Handlers, Side, refusing
from common.rpc.link import Link
from common.rpc.peers import Address, Peer, Role
from common.rpc.session import Limits
from common.rpc.tls import Identifying, JoiningTls, MemberTls, handshake_problem

__all__ = [
    "Address",
    "EventHandler",
    "Handler",
    "Handlers",
    "Limits",
    "Link",
    "LinkFactory",
    "LinkProtocol",
    "Peer",
    "Role",
    "Side",
    "connect",
    "refusing",
]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

HANDSHAKE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
MAX_UNSENT_BYTES = 32 * 1024 * 1024  # written while the other end does not read: more than every stream's credit


@implementer(IHandshakeListener)
class LinkProtocol(Int32StringReceiver):
    """One connection. `identified` tells who is there; `open` makes the link. Until then nothing is read."""

    MAX_LENGTH = MAX_FRAME_BYTES

    def __init__(self, tls: Identifying) -> None:
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._outflow = _Outflow(self)
        self._timer: asyncio.TimerHandle | None = None
        self.identified: asyncio.Future[Peer] = self._loop.create_future()
        self.gone = asyncio.Event()
        self.is_ending = False

    @property
    def _wire(self) -> TLSMemoryBIOProtocol:
        if not isinstance(self.transport, TLSMemoryBIOProtocol):
            raise TypeError("a link needs a TLS transport")
        return self.transport

    # Twisted's side ---------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's
        # Otherwise a small frame behind a large one waits up to 40 ms for the other end's acknowledgement.
        self._wire.setTcpNoDelay(True)
        self._wire.setTcpKeepAlive(True)
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_S, self.abort)

    def handshakeCompleted(self) -> None:  # noqa: N802  # Twisted's
        self._stop_timer()
        try:
            peer = self._tls.identify(self._wire.getHandle())
        except NotTrusted as error:
            self._fail(error)
            self.refuse(error)
            return
        self.pauseProducing()  # type: ignore[no-untyped-call]  # Twisted's own has no types
        self.identified.set_result(peer)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's
        if self._link is not None:
            self._link.heard()
        super().dataReceived(data)  # type: ignore[no-untyped-call]  # Twisted's own has no types

    def stringReceived(self, string: bytes) -> None:  # noqa: N802  # Twisted's
        if self._link is not None:
            self._link.frame_arrived(string)

    def lengthLimitExceeded(self, length: int) -> None:  # noqa: N802  # Twisted's
        if self._link is not None:
            self._link.broke_protocol(f"a frame of {length} bytes")
        self.lose()

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008, N802  # Twisted's
        self._stop_timer()
        error = _as_error(reason.value, handshake_problem(self._wire.getHandle()))
        self._fail(error)
        self.gone.set()
        if self._link is not None:
            self._link.carrier_lost(error)

    # Ours -------------------------------------------------------------------------------------------------------

    def open(self, side: Side, peer: Peer) -> Link:
        """Say hello and start reading. The other end accepted us when the link's `opened` is done."""
        self.MAX_LENGTH = side.limits.max_frame_bytes
        self._link = Link(side=side, peer=peer, carrier=self)
        self._wire.registerProducer(self._outflow, True)
        self._link.start()
        self.resumeProducing()  # type: ignore[no-untyped-call]  # Twisted's own has no types
        return self._link

    def refuse(self, error: InnkeeperError) -> None:
        """Tell why, and end, before there is a link."""
        self.send([encode(Error(id=LINK_ID, code=error.code, message=str(error)))])
        self.lose()

    def send(self, frames: Sequence[bytes]) -> None:
        self._wire.writeSequence([part for frame in frames for part in (len(frame).to_bytes(4, "big"), frame)])
        if not self._outflow.takes(sum(map(len, frames))):
            log.warning("link_choked", peer=str(self._link and self._link.peer), unsent_bytes=MAX_UNSENT_BYTES)
            self.abort()

    def lose(self) -> None:
        self.is_ending = True
        if self.gone.is_set():
            return
        if self.paused:
            # A connection that does not read never sees the other end's goodbye.
            self.resumeProducing()  # type: ignore[no-untyped-call]  # Twisted's own has no types
        self._wire.unregisterProducer()
        self._wire.loseConnection()
        self._stop_timer()
        self._timer = self._loop.call_later(CLOSE_TIMEOUT_S, self.abort)

    def abort(self) -> None:
        """End at once, unsent frames and all."""
        if not self.gone.is_set():
            self._wire.abortConnection()

    def choke(self, *, full: bool) -> None:
        if self._link is not None:
            self._link.choke(full=full)

    def _fail(self, error: InnkeeperError) -> None:
        if not self.identified.done():
            self.identified.set_exception(error)
            self.identified.exception()  # seen: perhaps nobody waits any more

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@implementer(IPushProducer)
class _Outflow:
    """Hears from the transport when its buffer is full, and counts what is written all the same."""

    def __init__(self, owner: LinkProtocol) -> None:
        self._owner = owner
        self._full = False
        self._written_when_full = 0

    def takes(self, size_bytes: int) -> bool:
        if self._full:
            self._written_when_full += size_bytes
        return self._written_when_full <= MAX_UNSENT_BYTES

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's
        self._full = True
        self._owner.choke(full=True)

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's
        self._full = False
        self._written_when_full = 0
        self._owner.choke(full=False)

    def stopProducing(self) -> None:  # noqa: N802  # Twisted's
        """The connection is gone; connectionLost says so."""


class LinkFactory(Factory):
    """Makes a LinkProtocol for each connection and hands it to `made`."""

    noisy = False

    def __init__(self, tls: Identifying, made: Callable[[LinkProtocol], None] | None = None) -> None:
        self._tls = tls
        self._made = made

    def buildProtocol(self, addr: object) -> LinkProtocol:  # noqa: N802  # Twisted's
        protocol = LinkProtocol(self._tls)
        protocol.factory = self
        if self._made is not None:
            self._made(protocol)
        return protocol


async def connect(address: Address, tls: MemberTls | JoiningTls, side: Side, *, deadline_s: float = 10.0) -> Link:
    """An open link to the region at `address`: its identity is checked and it has accepted us.

    Raises LinkLost (not reached, try again), NotTrusted (not our region, or our certificate is refused), NotAllowed
    (the region does not want us) or VersionMismatch. Nothing is left open then.
    """
    made: list[LinkProtocol] = []  # filled while dialling: what is abandoned halfway is closed too
    accepted = False
    try:
        async with asyncio.timeout(deadline_s):
            await _dial(address, tls, LinkFactory(tls, made.append), deadline_s)
            peer = await made[-1].identified
            link = made[-1].open(side, peer)
            await link.opened
            accepted = True
            return link
    except TimeoutError as error:
        raise LinkLost(f"{address} did not answer within {deadline_s:g} s") from error
    except InnkeeperError as error:
        raise type(error)(f"{address}: {error.message}", **error.details) from error
    finally:
        if not accepted:
            await _drop(made)


async def _dial(address: Address, tls: MemberTls | JoiningTls, factory: LinkFactory, deadline_s: float) -> None:
    from twisted.internet import reactor  # noqa: PLC0415  # the entry module installs the reactor before

    endpoint = HostnameEndpoint(reactor, address.host, address.port, timeout=deadline_s)
    try:
        await from_deferred(endpoint.connect(TLSMemoryBIOFactory(tls, True, factory)))
    except (ConnectError, ConnectTimeout, DNSLookupError, OSError) as error:
        raise LinkLost(f"not reached: {error}") from error


async def _drop(protocols: Iterable[LinkProtocol]) -> None:
    for protocol in protocols:
        if protocol.transport is not None:
            protocol.abort()
            await protocol.gone.wait()


def _as_error(reason: BaseException | None, problem: str) -> InnkeeperError:
    if isinstance(reason, SSL.Error):
        return NotTrusted(f"the TLS handshake failed: {problem or _ssl_text(reason)}")
    if isinstance(reason, ConnectionDone):
        return LinkLost("the other end closed the connection")
    if isinstance(reason, ConnectionClosed):
        return LinkLost(f"the connection was lost: {reason}")
    return LinkLost(f"the connection was lost: {type(reason).__name__}")


def _ssl_text(error: SSL.Error) -> str:
    entries = error.args[0] if error.args else []
    return "; ".join(str(entry[-1]) for entry in entries) or "no reason given"
