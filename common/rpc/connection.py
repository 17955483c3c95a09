"""Links over TLS: the Twisted protocol that carries the frames, and `connect`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog
from OpenSSL import SSL
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionDone, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from common.errors import InnkeeperError, LinkLost, NotTrusted
from common.process.deferreds import from_deferred
from common.process.tcp_endpoint import tcp_endpoint
from common.rpc.frame_reader import FrameReader, Take
from common.rpc.frames import LINK_ID, Error, encode
from common.rpc.framing import prefixed
from common.rpc.handlers import Side
from common.rpc.link import Link
from common.rpc.peers import Address, Peer
from common.rpc.tls import JoiningTls, MemberTls, PeerIdentifier, handshake_problem

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

HANDSHAKE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
MAX_DISCARDED_BYTES = 128 * 1024  # of a peer that sends on while its connection ends
MAX_UNSENT_BYTES = 32 * 1024 * 1024  # queued while the peer does not read: more than all streams' credit


@implementer(IHandshakeListener)
class LinkProtocol(Protocol):
    """One connection. `identified` has the peer; `open` creates the link. Nothing is read before that."""

    def __init__(self, tls: PeerIdentifier) -> None:
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._reader: FrameReader | None = None  # once the handshake is complete
        self._outflow = _Outflow(self)
        self._timer: asyncio.TimerHandle | None = None
        self.identified: asyncio.Future[Peer] = self._loop.create_future()
        self.disconnected = asyncio.Event()
        self.ports = (0, 0)  # of this end and of the peer; kept after the connection has ended
        self.remote_host = ""  # the peer's address, of a connection that was accepted
        self._is_held = False
        self.is_ending = False  # `lose` was called; the peer may still be reading

    @property
    def _tls_transport(self) -> TLSMemoryBIOProtocol:
        if not isinstance(self.transport, TLSMemoryBIOProtocol):
            raise TypeError("a link needs a TLS transport")
        return self.transport

    # Twisted's side ---------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's
        # Otherwise a small frame after a large one waits up to 40 ms for a TCP acknowledgement.
        self._tls_transport.setTcpNoDelay(True)
        self._tls_transport.setTcpKeepAlive(True)
        here, there = self._tls_transport.getHost(), self._tls_transport.getPeer()
        self.ports = getattr(here, "port", 0), getattr(there, "port", 0)
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_S, self.abort)
        if self._is_held:
            self._tls_transport.pauseProducing()

    def handshakeCompleted(self) -> None:  # noqa: N802  # Twisted's
        self._stop_timer()
        self._reader = FrameReader(self._tls_transport)
        try:
            peer = self._tls.identify(self._tls_transport.getHandle())
        except NotTrusted as error:
            self._fail(error)
            self.reject(error)
            return
        self.identified.set_result(peer)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's
        if self._link is not None:
            self._link.on_activity()
        if self._reader is not None:
            self._reader.data_arrived(data)
            if self._reader.discarded_bytes > MAX_DISCARDED_BYTES:
                self.abort()

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008, N802  # Twisted's
        if self._reader is not None:
            self._reader.finish()
        self._stop_timer()
        error = _as_error(reason.value, handshake_problem(self._tls_transport.getHandle()))
        self._fail(error)
        self.disconnected.set()
        if self._link is not None:
            self._link.carrier_lost(error)

    # Link -------------------------------------------------------------------------------------------------------

    def hold_handshake(self) -> None:
        """Reads nothing from the connection until `begin_handshake`. Call it before the connection is made."""
        self._is_held = True

    def begin_handshake(self) -> bool:
        """Returns False if the connection has ended meanwhile."""
        self._is_held = False
        if self.transport is not None and not self.is_ending:
            self._tls_transport.resumeProducing()
        return not (self.is_ending or self.disconnected.is_set())

    def open(self, side: Side, peer: Peer, *, take: Take | None = None) -> Link:
        """Creates the link, sends the hello and starts reading. `Link.opened` is done when the peer accepts.

        With `take`, the peer's frames have a budget.
        """
        if self._reader is None:
            raise TypeError("a link needs a complete handshake")
        self._link = Link(side=side, peer=peer, carrier=self)
        self._tls_transport.registerProducer(self._outflow, True)
        self._link.start()
        self._reader.start(
            self._link.frame_arrived, self._frame_rejected, max_bytes=side.limits.max_frame_bytes, take=take
        )
        return self._link

    def reject(self, error: InnkeeperError) -> None:
        """Sends the error and ends the connection, before there is a link."""
        self.send([encode(Error(id=LINK_ID, code=error.code, message=str(error)))])
        self.lose()

    def send(self, frames: Sequence[bytes]) -> None:
        """Queues the frames. Cuts the connection when the peer reads too slowly and MAX_UNSENT_BYTES are exceeded."""
        self._tls_transport.writeSequence([part for frame in frames for part in prefixed(frame)])
        if not self._outflow.accepts(sum(map(len, frames))):
            log.warning(
                "link_send_buffer_full", peer=str(self._link and self._link.peer), unsent_bytes=MAX_UNSENT_BYTES
            )
            self.abort()

    def lose(self) -> None:
        """Ends the connection after the queued frames are sent, after CLOSE_TIMEOUT_S at the latest. Idempotent."""
        self.is_ending = True
        if self._reader is not None:
            self._reader.stop()
        if self.disconnected.is_set():
            return
        self._tls_transport.unregisterProducer()
        self._tls_transport.loseConnection()
        self._stop_timer()
        self._timer = self._loop.call_later(CLOSE_TIMEOUT_S, self.abort)

    def abort(self) -> None:
        """Ends at once; unsent frames are lost."""
        if not self.disconnected.is_set():
            self._tls_transport.abortConnection()

    def pause(self, *, full: bool) -> None:
        if self._link is not None:
            self._link.pause(full=full)

    def _fail(self, error: InnkeeperError) -> None:
        if not self.identified.done():
            self.identified.set_exception(error)
            self.identified.exception()  # retrieved, so that asyncio does not log it: there may be no waiter

    def _frame_rejected(self, reason: str) -> None:
        if self._link is not None:
            self._link.protocol_error(reason)
        self.lose()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@implementer(IPushProducer)
class _Outflow:
    """Pauses streams while the transport's buffer is full, and limits what other frames add to it."""

    def __init__(self, owner: LinkProtocol) -> None:
        self._owner = owner
        self._full = False
        self._written_when_full = 0

    def accepts(self, size_bytes: int) -> bool:
        """Counts frames written while the buffer is full. Returns False once they exceed MAX_UNSENT_BYTES."""
        if self._full:
            self._written_when_full += size_bytes
        return self._written_when_full <= MAX_UNSENT_BYTES

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's
        self._full = True
        self._owner.pause(full=True)

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's
        self._full = False
        self._written_when_full = 0
        self._owner.pause(full=False)

    def stopProducing(self) -> None:  # noqa: N802  # Twisted's
        """Nothing to do: connectionLost follows."""


class LinkFactory(Factory):
    """Creates a LinkProtocol for each connection and passes it to `on_protocol`."""

    noisy = False

    def __init__(self, tls: PeerIdentifier, on_protocol: Callable[[LinkProtocol], None] | None = None) -> None:
        self._tls = tls
        self._on_protocol = on_protocol

    def buildProtocol(self, addr: object) -> LinkProtocol:  # noqa: N802  # Twisted's
        protocol = LinkProtocol(self._tls)
        protocol.factory = self
        protocol.remote_host = getattr(addr, "host", "")
        if self._on_protocol is not None:
            self._on_protocol(protocol)
        return protocol


async def connect(address: Address, tls: MemberTls | JoiningTls, side: Side, *, deadline_s: float = 10.0) -> Link:
    """Returns an open link to the region at `address`, which is identified and has accepted this end.

    Raises LinkLost (not reached; retry), NotTrusted (another region, or it rejects the certificate), NotAllowed (the
    region does not admit this peer) or VersionMismatch; the connection is closed then.
    """
    protocols: list[LinkProtocol] = []  # also has a connection that was abandoned halfway, to close it
    accepted = False
    try:
        async with asyncio.timeout(deadline_s):
            await _dial(address, tls, LinkFactory(tls, protocols.append), deadline_s)
            peer = await protocols[-1].identified
            link = protocols[-1].open(side, peer)
            await link.opened
            accepted = True
            return link
    except TimeoutError as error:
        raise LinkLost(f"{address} did not respond within {deadline_s:g} s") from error
    except InnkeeperError as error:
        raise type(error)(f"{address}: {error.message}", **error.details) from error
    finally:
        if not accepted:
            await _drop(protocols)


async def _dial(address: Address, tls: MemberTls | JoiningTls, factory: LinkFactory, deadline_s: float) -> None:
    from twisted.internet import reactor  # noqa: PLC0415  # the entry module installs the reactor before

    endpoint = tcp_endpoint(reactor, address.host, address.port, connect_s=deadline_s)
    try:
        await from_deferred(endpoint.connect(TLSMemoryBIOFactory(tls, True, factory)))
    except (ConnectError, ConnectTimeout, DNSLookupError, OSError) as error:
        raise LinkLost(f"cannot connect: {error}") from error


async def _drop(protocols: Iterable[LinkProtocol]) -> None:
    for protocol in protocols:
        if protocol.transport is not None:
            protocol.abort()
            await protocol.disconnected.wait()


def _as_error(reason: BaseException | None, problem: str) -> InnkeeperError:
    if isinstance(reason, SSL.Error):
        return NotTrusted(f"TLS handshake failed: {problem or _ssl_text(reason)}")
    if isinstance(reason, ConnectionDone):
        return LinkLost("the peer closed the connection")
    if isinstance(reason, ConnectionClosed):
        return LinkLost(f"the connection was lost: {reason}")
    return LinkLost(f"the connection was lost: {type(reason).__name__}")


def _ssl_text(error: SSL.Error) -> str:
    entries = error.args[0] if error.args else []
    return "; ".join(str(entry[-1]) for entry in entries) or "no reason given"
