"""Accepts racks, RPC clients and anonymous peers on one TLS port, and serves their links."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from attrs import define, evolve, frozen
from twisted.internet.interfaces import IListeningPort
from twisted.protocols.tls import TLSMemoryBIOFactory

from common.errors import Busy, InnkeeperError, LinkLost, NotAllowed
from common.process.deferreds import from_deferred
from common.rpc.call_observer import UNOBSERVED, CallObserver
from common.rpc.commands.command import Command
from common.rpc.connection import LinkFactory, LinkProtocol
from common.rpc.frames import MAX_CLIENT_FRAME_BYTES
from common.rpc.handlers import EventHandler, Handlers, Side, rejecting, reportable_error
from common.rpc.link import Link
from common.rpc.peers import Peer
from common.rpc.session import Limits
from common.rpc.tls import RegionTls
from common.trust.certificates import Role, utc_now
from regiond.process.listening import listen
from regiond.racks.enrolment.handshake_queue import HandshakeQueue, HandshakeRates
from regiond.requests.request_limits import TokenBuckets

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ADMIT_DEADLINE_S = 10.0
ADMIT_RETRY_S = 2.0
STOP_DEADLINE_S = 10.0
MAX_ANONYMOUS = 32
MAX_UNIDENTIFIED = 256  # connections during their TLS handshake
# A connection costs the event loop some 4 ms. After a region's restart, 200 racks reconnect within 5 s.
HANDSHAKES = HandshakeRates(per_s=40, burst=10, per_s_of_address=5, burst_of_address=20)
ANONYMOUS_LIFETIME_S = 15.0
MAX_LINKS_OF_RACK = 4  # to one region: more remain only after lost connections, and the oldest is ended
MAX_LINKS_OF_CLIENT = 64  # programs may share a certificate
MEMBERS = Limits()
CLIENT_BYTES_IN_FLIGHT = 1024 * 1024
# The limit of one peer, over all its links to this region. A frame costs the event loop up to 2 ms; 100 hosts with
# 1,000 guests each need some 100 per second, since a longer frame counts as several.
FRAMES_PER_S = 250
BURST_FRAMES = 1000
BYTES_PER_FRAME = 16 * 1024
# Links that one peer may open per second, and at once: each costs a handshake and several statements.
LINKS_PER_S = {Role.RACK: (1.0, 20), Role.CLIENT: (5.0, 2 * MAX_LINKS_OF_CLIENT)}
MAX_CALLS_OF_RACK = 8  # at once: a rack only renews its certificate
ANONYMOUS = Limits(
    max_frame_bytes=16 * 1024,  # a certificate request has 2 KiB
    max_calls=1,
    max_total_calls=1,
    max_deadline_s=10.0,
    takes_events=False,
    hello_timeout_s=5.0,
)


async def _nothing(_: Link) -> None:
    """The default callback."""


@frozen(kw_only=True)
class ListenerCallbacks:
    """The functions that the listener calls.

    `admit` raises NotAllowed for a peer that has a valid certificate and is not allowed to connect (a removed rack, a
    disabled account); it may take ADMIT_DEADLINE_S. `on_connect` is called for every admitted link, `on_disconnect`
    once when each of those links has ended. Neither is called for anonymous peers (without a certificate), which may
    make one call, of `handlers[Role.ANONYMOUS]`.
    """

    handlers: Mapping[Role, Handlers]
    admit: Callable[[Peer], Awaitable[None]]
    on_connect: Callable[[Link], Awaitable[None]] = _nothing
    on_disconnect: Callable[[Link], Awaitable[None]] = _nothing
    on_event: EventHandler | None = None
    observer: CallObserver = UNOBSERVED


@define(eq=False)
class _Connection:
    """One connection, from its first byte to its last."""

    protocol: LinkProtocol
    peer: Peer | None = None
    link: Link | None = None

    def reject(self, error: InnkeeperError) -> None:
        if self.protocol.is_ending:
            return  # the protocol has rejected it
        if self.link is not None:
            self.link.reject(error)
        elif self.peer is not None:
            self.protocol.reject(error)
        else:
            self.protocol.abort()


class Listener:
    """The TLS port of a region process. Port 0 takes a free port: see `port`. `limits` apply to racks and clients."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: RegionTls,
        name: str,
        callbacks: ListenerCallbacks,
        limits: Limits = MEMBERS,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._host = host
        self._wanted_port = port
        self._tls = tls
        self._callbacks = callbacks
        self._clock = clock
        self._sides = {role: _side(role, name, callbacks, limits) for role in (Role.RACK, Role.CLIENT, Role.ANONYMOUS)}
        self._frames = TokenBuckets(per_s=FRAMES_PER_S, burst=BURST_FRAMES)
        self._openings = {role: TokenBuckets(per_s=per_s, burst=burst) for role, (per_s, burst) in LINKS_PER_S.items()}
        self._handshakes = HandshakeQueue(HANDSHAKES)
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._listening: IListeningPort | None = None

    @property
    def port(self) -> int:
        """The port in use; 0 while not listening."""
        if self._listening is None:
            return 0
        found: int = getattr(self._listening.getHost(), "port", 0)
        return found

    @property
    def all_links(self) -> tuple[Link, ...]:
        """The open links, including those of anonymous peers."""
        links = (connection.link for connection in self._connections)
        return tuple(link for link in links if link is not None and link.is_open)

    @property
    def links(self) -> tuple[Link, ...]:
        """The open links of racks and RPC clients."""
        return tuple(link for link in self.all_links if link.peer.role is not Role.ANONYMOUS)

    def start(self) -> None:
        """Raises twisted.internet.error.CannotListenError when the address is taken."""
        factory = TLSMemoryBIOFactory(self._tls, False, LinkFactory(self._tls, self._on_protocol))
        self._listening = listen(factory, host=self._host, port=self._wanted_port)
        log.info("rpc_listening", host=self._host, port=self.port)

    async def stop(self) -> None:
        """Stops listening and closes every link. Returns when all handlers have ended."""
        if self._listening is not None:
            stopped: Any = self._listening.stopListening()
            await from_deferred(stopped)
            self._listening = None
        self._handshakes.stop()
        for connection in tuple(self._connections):
            connection.reject(LinkLost("the region is stopping"))
        if tasks := tuple(self._connections.values()):
            _, late = await asyncio.wait(tasks, timeout=STOP_DEADLINE_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def drop(self, matches: Callable[[Peer], bool], reason: str) -> int:
        """Disconnects every matching peer at once, including those being admitted. Returns their number.

        `admit` must already reject them.
        """
        found = [
            connection for connection in self._connections if connection.peer is not None and matches(connection.peer)
        ]
        for connection in found:
            connection.reject(NotAllowed(reason))
        return len(found)

    async def admit_again(self) -> None:
        """Calls `admit` for every open link and drops rejected peers, after notifications may have been lost.

        Retries until every link is checked or has ended, also while the database is unavailable.
        """
        waiting = list(self.links)
        while waiting := [link for link in waiting if not await self._is_readmitted(link)]:
            log.warning("admission_unchecked", links=len(waiting), retry_in_s=ADMIT_RETRY_S)
            await asyncio.sleep(ADMIT_RETRY_S)

    async def _is_readmitted(self, link: Link) -> bool:
        if not link.is_open:
            return True
        try:
            await self._admit(link.peer)
        except NotAllowed as error:
            link.reject(error)
        except InnkeeperError:
            return False
        return True

    # One connection ---------------------------------------------------------------------------------------------

    def _on_protocol(self, protocol: LinkProtocol) -> None:
        connection = _Connection(protocol)
        unidentified = [one for one in self._connections if one.peer is None]
        if len(unidentified) >= MAX_UNIDENTIFIED:
            _most_frequent(unidentified).protocol.abort()
        task = asyncio.get_running_loop().create_task(self._serve(connection), name="link")
        self._connections[connection] = task
        task.add_done_callback(lambda _: self._on_connection_done(connection, task))
        protocol.hold_handshake()
        self._handshakes.add(protocol)

    def _on_connection_done(self, connection: _Connection, task: asyncio.Task[None]) -> None:
        del self._connections[connection]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("connection_failed", peer=str(connection.peer), exc_info=error)

    async def _serve(self, connection: _Connection) -> None:
        try:
            peer = connection.peer = await connection.protocol.identified
            if peer.role is not Role.ANONYMOUS:
                self._make_room(peer)
            await self._admit(peer)
        except InnkeeperError as error:
            record = log.info if isinstance(error, LinkLost) else log.warning  # a port scan is no warning
            record("peer_rejected", peer=str(connection.peer or "unidentified"), code=error.code, reason=error.message)
            connection.reject(error)
            await connection.protocol.disconnected.wait()
            return
        if connection.protocol.is_ending:  # dropped during `admit`
            await connection.protocol.disconnected.wait()
            return
        await self._open(connection, peer)

    async def _admit(self, peer: Peer) -> None:
        if peer.role is Role.ANONYMOUS:
            if len(anonymous := self._anonymous()) > MAX_ANONYMOUS:
                _most_frequent(anonymous).reject(Busy("too many peers are joining; retry in a few seconds"))
            return
        try:
            async with asyncio.timeout(ADMIT_DEADLINE_S):
                await self._callbacks.admit(peer)
        except TimeoutError as error:
            raise Busy("the region is too busy to admit this peer; retry in a few seconds") from error
        except InnkeeperError:
            raise
        except Exception as error:
            raise reportable_error(error, "admit") from error

    async def _open(self, connection: _Connection, peer: Peer) -> None:
        sender = peer.role, peer.id or connection.protocol.remote_host

        def take(size_bytes: int) -> float:
            return self._frames.take(sender, 1 + size_bytes // BYTES_PER_FRAME)

        link = connection.link = connection.protocol.open(self._sides[peer.role], peer, take=take)
        expiry = asyncio.get_running_loop().call_later(_lifetime_s(peer, self._clock()), _expire, link)
        try:
            await link.opened
            if peer.role is Role.ANONYMOUS:
                await link.closed()
            else:
                await self._serve_member(connection, link)
        except InnkeeperError as error:
            log.warning("link_rejected", peer=str(peer), code=error.code, reason=error.message)
            await link.closed()
        finally:
            expiry.cancel()

    async def _serve_member(self, connection: _Connection, link: Link) -> None:
        self._handshakes.accepted(connection.protocol)
        log.info("link_opened", peer=str(link.peer), id=link.peer.id)
        try:
            await self._callbacks.on_connect(link)
        except Exception as error:  # noqa: BLE001  # a bug ends this link only
            link.reject(reportable_error(error, "on_connect"))
        reason = await link.closed()
        log.info("link_lost", peer=str(link.peer), id=link.peer.id, reason=reason.message)
        await self._callbacks.on_disconnect(link)

    def _make_room(self, peer: Peer) -> None:
        """Limits the links of one certificate's owner. Raises Busy for a client; ends the oldest link of a rack.

        Also raises Busy for an owner that opens links again and again.
        """
        wait_s = self._openings[peer.role].take(peer.id)
        if wait_s > 0:
            raise Busy(f"{peer} has opened too many links in a short time; retry in {math.ceil(wait_s)} s")
        links = [link for link in self.links if (link.peer.role, link.peer.id) == (peer.role, peer.id)]
        if peer.role is Role.CLIENT and len(links) >= MAX_LINKS_OF_CLIENT:
            raise Busy(f"{peer} has {len(links)} links to this region, the most that one client may have")
        if peer.role is Role.RACK and len(links) >= MAX_LINKS_OF_RACK:
            links[0].close("the rack has opened newer links")

    def _anonymous(self) -> list[_Connection]:
        """Returns the connections of anonymous peers, which join, oldest first."""
        return [one for one in self._connections if one.peer is not None and one.peer.role is Role.ANONYMOUS]


def _most_frequent(connections: Sequence[_Connection]) -> _Connection:
    """Returns the oldest connection of the address that has the most: a flood from one address ends itself."""
    counts = Counter(one.protocol.remote_host for one in connections)
    return max(connections, key=lambda one: counts[one.protocol.remote_host])


def _side(role: Role, name: str, callbacks: ListenerCallbacks, limits: Limits) -> Side:
    everything: set[Command[Any, Any]] = {command for handlers in callbacks.handlers.values() for command in handlers}
    own = callbacks.handlers.get(role, {})
    return Side(
        role=Role.REGION,
        name=name,
        handlers={**rejecting(everything - set(own)), **own},
        on_event=None if role is Role.ANONYMOUS else callbacks.on_event,
        limits=_limits(role, limits),
        observer=callbacks.observer,
    )


def _limits(role: Role, members: Limits) -> Limits:
    if role is Role.ANONYMOUS:
        return ANONYMOUS
    if role is Role.CLIENT:
        return evolve(members, max_frame_bytes=MAX_CLIENT_FRAME_BYTES, max_bytes_in_flight=CLIENT_BYTES_IN_FLIGHT)
    return evolve(members, max_calls=MAX_CALLS_OF_RACK)


def _lifetime_s(peer: Peer, now: datetime) -> float:
    if peer.expires_at is None:
        return ANONYMOUS_LIFETIME_S
    return max(0.0, (peer.expires_at - now).total_seconds())


def _expire(link: Link) -> None:
    link.close("the certificate of this link has expired; reconnect with the renewed one")
