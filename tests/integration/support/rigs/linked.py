"""A region's listener over TLS on loopback, and the racks and clients that connect to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from attrs import define, field, frozen

from common.errors import DatabaseUnavailable, DriverFailed, NotAllowed, TokenRejected
from common.rpc.commands.command import Command
from common.rpc.commands.region_commands import RACK_JOIN, RACK_RENEW, JoinCall, Joined, RenewCall, Renewed
from common.rpc.connection import connect
from common.rpc.handlers import Handlers, Side
from common.rpc.link import Link
from common.rpc.peers import Address, Peer
from common.rpc.tls import JoiningTls, MemberTls, RegionTls
from common.rpc.tokens import JoinToken, encode_token
from common.trust.certificates import RACK_LIFETIME, Credentials, Role, Subject, utc_now
from regiond.racks.enrolment.authority import Authority
from regiond.racks.enrolment.listener import Listener, ListenerCallbacks

INSTALLATION = UUID("8a4f1d8e-0000-4000-8000-000000000001")


@frozen(kw_only=True)
class Text:
    text: str


ECHO = Command("test.echo", Text, Text)
STUCK = Command("test.stuck", Text, Text)
FAIL = Command("test.fail", Text, Text)
BUG = Command("test.bug", Text, Text)
HUGE = Command("test.huge", Text, Text)
COUNT = Command("test.count", Text, Text, streams=True)
RACKS_ONLY = Command("test.racks_only", Text, Text)
UNKNOWN = Command("test.unknown", Text, Text)
JOIN = Command("test.join", Text, Text)


async def echo(link: Link, text: str) -> str:
    """Returns the text that the peer sends back."""
    return (await link.call(ECHO, Text(text=text), deadline_s=30)).text


@define
class Behaviour:
    """Handlers for either end of a link; records the calls and events that they receive."""

    started: list[str] = field(factory=list)
    stopped: list[str] = field(factory=list)
    sent: int = 0
    events: list[tuple[str, Any]] = field(factory=list)

    async def echo(self, _: Link, request: Text) -> Text:
        return request

    async def stuck(self, _: Link, request: Text) -> Text:
        self.started.append(request.text)
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.append(request.text)
        return request

    async def fail(self, _: Link, request: Text) -> Text:
        raise DriverFailed(f"the host reported: {request.text}", host="h1")

    async def bug(self, _: Link, request: Text) -> Text:
        raise ValueError(f"secret {request.text}")

    async def huge(self, _: Link, request: Text) -> Text:
        return Text(text="x" * 2_000_000)

    async def count(self, _: Link, request: Text) -> AsyncGenerator[Text, None]:
        """`request` is "items size"."""
        items, size = map(int, request.text.split())
        try:
            for number in range(items):
                self.sent = number + 1
                yield Text(text=f"{number} ".ljust(size, "x"))
        finally:
            self.stopped.append("count")

    def event(self, _: Link, name: str, body: Any) -> None:
        self.events.append((name, body))

    def handlers(self) -> Handlers:
        return {
            ECHO: self.echo,
            STUCK: self.stuck,
            FAIL: self.fail,
            BUG: self.bug,
            HUGE: self.huge,
            COUNT: self.count,
        }


@define
class Region:
    """A listener with the handlers above, tokens in memory, and the ids of removed peers."""

    authority: Authority
    tls: Callable[[Authority], RegionTls]
    port: int = 0
    behaviour: Behaviour = field(factory=Behaviour)
    tokens: set[str] = field(factory=set)
    removed: set[str] = field(factory=set)
    admit_errors: list[str] = field(factory=list)
    links: list[Link] = field(factory=list)
    lost: list[Link] = field(factory=list)
    renewals: int = 0
    rack_lifetime: timedelta = RACK_LIFETIME
    clock: Callable[[], datetime] = utc_now
    _listener: Listener | None = None

    @property
    def listener(self) -> Listener:
        assert self._listener is not None
        return self._listener

    @property
    def address(self) -> Address:
        return Address(host="127.0.0.1", port=self.port)

    def start(self) -> None:
        common = self.behaviour.handlers()
        callbacks = ListenerCallbacks(
            handlers={
                Role.RACK: {**common, RACKS_ONLY: self.behaviour.echo, RACK_RENEW: self.renew},
                Role.CLIENT: common,
                Role.ANONYMOUS: {JOIN: self.behaviour.echo, RACK_JOIN: self.join},
            },
            admit=self.admit,
            on_connect=self.on_connect,
            on_disconnect=self.on_disconnect,
            on_event=self.behaviour.event,
        )
        tls = self.tls(self.authority)
        self._listener = Listener(
            host="127.0.0.1",
            port=self.port,
            tls=tls,
            name="region",
            callbacks=callbacks,
            clock=lambda: self.clock(),  # noqa: PLW0108  # read at each call, because a test sets it later
        )
        self._listener.start()
        self.port = self._listener.port

    async def admit(self, peer: Peer) -> None:
        if self.admit_errors:
            raise DatabaseUnavailable(self.admit_errors.pop())
        if peer.id in self.removed:
            raise NotAllowed(f"{peer} was removed")

    async def on_connect(self, link: Link) -> None:
        self.links.append(link)

    async def on_disconnect(self, link: Link) -> None:
        self.lost.append(link)

    async def join(self, _: Link, call: JoinCall) -> Joined:
        if call.token_secret not in self.tokens:
            raise TokenRejected("this join token was used already")
        self.tokens.remove(call.token_secret)
        rack_id = str(uuid4())
        return Joined(
            rack_id=rack_id,
            name=call.name,
            installation_id=str(INSTALLATION),
            certificate_pem=self._sign(rack_id, call.name, call.signing_request_pem),
            authority_pem=self.authority.certificate_pem,
        )

    async def renew(self, link: Link, call: RenewCall) -> Renewed:
        self.renewals += 1
        return Renewed(
            certificate_pem=self._sign(link.peer.id, link.peer.name, call.signing_request_pem),
            authority_pem=self.authority.certificate_pem,
        )

    def token(self, *, fingerprint: str | None = None, addresses: tuple[str, ...] = ()) -> str:
        """Returns a token of this region; `addresses` are tried before its own."""
        secret = "s3cret"  # noqa: S105  # a test's
        self.tokens.add(secret)
        authority_fingerprint = fingerprint or self.authority.fingerprint
        addresses = (*addresses, str(self.address))
        return encode_token(JoinToken(addresses=addresses, authority_fingerprint=authority_fingerprint, secret=secret))

    def member(self, role: Role = Role.RACK, name: str = "r1") -> Credentials:
        subject = Subject(role=role, id=str(uuid4()), name=name)
        return self.authority.credentials_for(subject, timedelta(days=7))

    def _sign(self, rack_id: str, name: str, signing_request_pem: str) -> str:
        subject = Subject(role=Role.RACK, id=rack_id, name=name)
        return self.authority.sign(signing_request_pem, subject, self.rack_lifetime)


def region_one(authority: Authority) -> RegionTls:
    return authority.region_tls("region-one", "region")


def make_region(folder: Path, tls: Callable[[Authority], RegionTls] = region_one) -> Region:
    region = Region(authority=Authority.open(folder), tls=tls)
    region.start()
    return region


@define
class Dialled:
    """The side of a rack or client."""

    link: Link
    behaviour: Behaviour

    async def end(self) -> None:
        self.link.close("the test is over")
        await self.link.closed()


async def dial(region: Region, credentials: Credentials | None = None, role: Role = Role.RACK) -> Dialled:
    behaviour = Behaviour()
    side = Side(role=role, name="r1", handlers=behaviour.handlers(), on_event=behaviour.event)
    link = await connect(region.address, MemberTls(credentials or region.member(role)), side)
    return Dialled(link=link, behaviour=behaviour)


async def dial_anonymously(region: Region, fingerprint: str | None = None) -> Link:
    tls = JoiningTls(fingerprint or region.authority.fingerprint)
    return await connect(region.address, tls, Side(role=Role.ANONYMOUS, name="new"))
