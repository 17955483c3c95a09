"""Where racks, RPC clients and newcomers come in: one TLS port, each peer identified, admitted and attended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from attrs import define, frozen
from twisted.internet.interfaces import IListeningPort
from twisted.protocols.tls import TLSMemoryBIOFactory

from common.bridge import from_deferred
from common.certificates import utc_now
from common.errors import Busy, InnkeeperError, LinkLost, NotAllowed
from common.rpc.commands import Command
from common.rpc.connection import EventHandler, Handlers, Limits, Link, LinkFactory, LinkProtocol, Peer, Role, Side
from common.rpc.handlers import refusing, told_of
from common.rpc.tls import RegionTls

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ADMIT_DEADLINE_S = 10.0
ADMIT_RETRY_S = 2.0
STOP_DEADLINE_S = 10.0
MAX_ANONYMOUS = 32
ANONYMOUS_LIFETIME_S = 15.0
MEMBERS = Limits()
ANONYMOUS = Limits(
    max_frame_bytes=64 * 1024,
    max_calls=1,
    max_total_calls=1,
    max_deadline_s=10.0,
    takes_events=False,
    hello_timeout_s=5.0,
)


async def _nothing(_: Link) -> None:
    """What is done about a link where nobody asked for more."""


@frozen(kw_only=True)
class Reception:
    """What the listener asks of the rest of the region.

    `admit` raises NotAllowed when a peer with a valid certificate is not wanted (a removed rack, a locked user); it may
    take ADMIT_DEADLINE_S. `on_link` is called for every admitted link, `on_lost` once for each of those when it ended;
    not for newcomers without a certificate, who get one call of `handlers[Role.ANONYMOUS]`.
    """

    handlers: Mapping[Role, Handlers]
    admit: Callable[[Peer], Awaitable[None]]
    on_link: Callable[[Link], Awaitable[None]] = _nothing
    on_lost: Callable[[Link], Awaitable[None]] = _nothing
    on_event: EventHandler | None = None


@define(eq=False)
class _Guest:
    """One connection, from its first byte to its last."""

    protocol: LinkProtocol
    peer: Peer | None = None
    link: Link | None = None

    def refuse(self, error: InnkeeperError) -> None:
        if self.protocol.is_ending:
            return  # refused by itself, and was told why
        if self.link is not None:
            self.link.refuse(error)
        elif self.peer is not None:
            self.protocol.refuse(error)
        else:
            self.protocol.abort()


class Listener:
    """`name` is the region's, for people. Port 0 takes a free one; `port` says which. `limits` hold for members."""

    def __init__(
        self, *, host: str, port: int, tls: RegionTls, name: str, reception: Reception, limits: Limits = MEMBERS
    ) -> None:
        self._host = host
        self._wanted_port = port
        self._tls = tls
        self._reception = reception
        self._sides = {role: _side(role, name, reception, limits) for role in (Role.RACK, Role.CLIENT, Role.ANONYMOUS)}
        self._guests: dict[_Guest, asyncio.Task[None]] = {}
        self._listening: IListeningPort | None = None

    @property
    def port(self) -> int:
        """0 while not listening."""
        if self._listening is None:
            return 0
        found: int = getattr(self._listening.getHost(), "port", 0)
        return found

    @property
    def links(self) -> tuple[Link, ...]:
        """The open links of racks and clients."""
        return tuple(
            guest.link
            for guest in self._guests
            if guest.link is not None and guest.link.is_open and guest.link.peer.role is not Role.ANONYMOUS
        )

    def start(self) -> None:
        """Raises twisted.internet.error.CannotListenError when the address is taken."""
        from twisted.internet import reactor  # noqa: PLC0415  # the entry module installs the reactor before

        factory = TLSMemoryBIOFactory(self._tls, False, LinkFactory(self._tls, self._arrived))
        self._listening = reactor.listenTCP(self._wanted_port, factory, backlog=512, interface=self._host)  # type: ignore[arg-type]  # Twisted's TLS factory is a server factory in all but its type
        log.info("rpc_listening", host=self._host, port=self.port)

    async def stop(self) -> None:
        """Nobody comes in any more, every link is told and closed, and their handlers have stopped."""
        if self._listening is not None:
            await from_deferred(_deferred(self._listening))
            self._listening = None
        for guest in tuple(self._guests):
            guest.refuse(LinkLost("the region is stopping"))
        if tasks := tuple(self._guests.values()):
            _, late = await asyncio.wait(tasks, timeout=STOP_DEADLINE_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def drop(self, matches: Callable[[Peer], bool], reason: str) -> int:
        """Refuse at once every peer that matches, those just coming in too; no further frame of theirs is taken.

        Returns how many there were. Make sure first that `admit` refuses them from now on.
        """
        found = [guest for guest in self._guests if guest.peer is not None and matches(guest.peer)]
        for guest in found:
            guest.refuse(NotAllowed(reason))
        return len(found)

    async def admit_again(self) -> None:
        """Ask `admit` about every open link and drop those refused: for when a removal may have been missed.

        Goes on until each was answered for or has ended, whatever the database does meanwhile.
        """
        waiting = list(self.links)
        while waiting := [link for link in waiting if not await self._answered_for(link)]:
            log.warning("admission_unchecked", links=len(waiting), again_in_s=ADMIT_RETRY_S)
            await asyncio.sleep(ADMIT_RETRY_S)

    async def _answered_for(self, link: Link) -> bool:
        if not link.is_open:
            return True
        try:
            await self._admit(link.peer)
        except NotAllowed as error:
            link.refuse(error)
        except InnkeeperError:
            return False
        return True

    # One connection ---------------------------------------------------------------------------------------------

    def _arrived(self, protocol: LinkProtocol) -> None:
        guest = _Guest(protocol)
        task = asyncio.get_running_loop().create_task(self._attend(guest), name="link")
        self._guests[guest] = task
        task.add_done_callback(lambda _: self._departed(guest, task))

    def _departed(self, guest: _Guest, task: asyncio.Task[None]) -> None:
        del self._guests[guest]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("link_attendance_failed", peer=str(guest.peer), exc_info=error)

    async def _attend(self, guest: _Guest) -> None:
        try:
            guest.peer = await guest.protocol.identified
            await self._admit(guest.peer)
        except InnkeeperError as error:
            tell = log.info if isinstance(error, LinkLost) else log.warning  # a look at the port is no news
            tell("peer_refused", peer=str(guest.peer or "unidentified"), code=error.code, reason=error.message)
            guest.refuse(error)
            await guest.protocol.gone.wait()
            return
        if guest.protocol.is_ending:  # dropped while `admit` was looking
            await guest.protocol.gone.wait()
            return
        await self._keep(guest, guest.peer)

    async def _admit(self, peer: Peer) -> None:
        if peer.role is Role.ANONYMOUS:
            if self._anonymous() > MAX_ANONYMOUS:
                raise Busy(f"{MAX_ANONYMOUS} newcomers are being attended to already; try again in a moment")
            return
        try:
            async with asyncio.timeout(ADMIT_DEADLINE_S):
                await self._reception.admit(peer)
        except TimeoutError as error:
            raise Busy("the region is too busy to look you up; try again in a moment") from error
        except InnkeeperError:
            raise
        except Exception as error:
            raise told_of(error, "admit") from error

    async def _keep(self, guest: _Guest, peer: Peer) -> None:
        link = guest.link = guest.protocol.open(self._sides[peer.role], peer)
        expiry = asyncio.get_running_loop().call_later(_lifetime_s(peer), _expire, link)
        try:
            await link.opened
            if peer.role is Role.ANONYMOUS:
                await link.closed()
            else:
                await self._announce(link)
        except InnkeeperError as error:
            log.warning("link_refused", peer=str(peer), code=error.code, reason=error.message)
            await link.closed()
        finally:
            expiry.cancel()

    async def _announce(self, link: Link) -> None:
        log.info("link_opened", peer=str(link.peer), id=link.peer.id)
        try:
            await self._reception.on_link(link)
        except Exception as error:  # noqa: BLE001  # whatever it was, it ends this link and no other
            link.refuse(told_of(error, "on_link"))
        reason = await link.closed()
        log.info("link_lost", peer=str(link.peer), id=link.peer.id, reason=reason.message)
        await self._reception.on_lost(link)

    def _anonymous(self) -> int:
        return sum(1 for guest in self._guests if guest.peer is not None and guest.peer.role is Role.ANONYMOUS)


def _side(role: Role, name: str, reception: Reception, limits: Limits) -> Side:
    everything: set[Command[Any, Any]] = {command for handlers in reception.handlers.values() for command in handlers}
    own = reception.handlers.get(role, {})
    return Side(
        role=Role.REGION,
        name=name,
        handlers={**refusing(everything - set(own)), **own},
        on_event=None if role is Role.ANONYMOUS else reception.on_event,
        limits=ANONYMOUS if role is Role.ANONYMOUS else limits,
    )


def _lifetime_s(peer: Peer) -> float:
    if peer.expires_at is None:
        return ANONYMOUS_LIFETIME_S
    return max(0.0, (peer.expires_at - utc_now()).total_seconds())


def _expire(link: Link) -> None:
    link.close("the certificate of this link has expired; come again with the new one")


def _deferred(port: IListeningPort) -> Any:
    return port.stopListening()
