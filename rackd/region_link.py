"""Keeps one link to every region: dials, greets, dispatches, comes back, and renews the rack's certificate in time."""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any

import structlog
from attrs import evolve, frozen

from common.certificates import load_certificate, make_key, make_signing_request, renew_at, utc_now
from common.errors import InnkeeperError
from common.rpc.commands import RACK_RENEW, REGION_ADDRESSES, RegionAddresses, RenewCall
from common.rpc.connection import Address, Handlers, Limits, Link, Role, Side, connect
from common.rpc.handlers import told_of
from common.rpc.tls import MemberTls
from common.wire import from_plain
from rackd.identity import Identity

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

RENEW_DEADLINE_S = 15.0
RENEW_RETRY_S = 60.0
LONGEST_SLEEP_S = 3600.0  # the clock may be set meanwhile: look again
DEFAULT_LIMITS = Limits()


@frozen(kw_only=True)
class Backoff:
    """How long to wait before dialling again; `refused_s` when the region answered and does not want us."""

    first_s: float = 0.5
    longest_s: float = 30.0
    refused_s: float = 60.0
    steady_s: float = 10.0  # a link that lived this long starts the count anew

    def delay_s(self, failures: int, *, refused: bool, chance: float) -> float:
        """Between half and all of the longest wait for this many failures in a row; `chance` is from 0 to 1."""
        longest = self.refused_s if refused else min(self.longest_s, self.first_s * 2 ** min(failures, 20))
        return longest * (0.5 + chance / 2)


async def _nothing(_: Link) -> None:
    """What is done about a link where nobody asked for more."""


@frozen(kw_only=True)
class Surroundings:
    """Time and chance, given by tests."""

    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random_module.random
    backoff: Backoff = Backoff()


class RegionLinks:
    """`save` keeps a renewed identity (in a thread). `on_link` and `on_lost` hear of every link, once each."""

    def __init__(
        self,
        identity: Identity,
        handlers: Handlers,
        *,
        save: Callable[[Identity], None],
        on_link: Callable[[Link], Awaitable[None]] = _nothing,
        on_lost: Callable[[Link], Awaitable[None]] = _nothing,
        limits: Limits = DEFAULT_LIMITS,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._identity = identity
        self._tls = MemberTls(identity.credentials)
        self._side = Side(role=Role.RACK, name=identity.name, handlers=handlers, on_event=self._told, limits=limits)
        self._save = save
        self._on_link = on_link
        self._on_lost = on_lost
        self._around = surroundings or Surroundings()
        self._links: dict[Address, Link] = {}
        self._replaced: set[Link] = set()
        self._dialling: dict[Address, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def identity(self) -> Identity:
        """The newest one."""
        return self._identity

    @property
    def links(self) -> tuple[Link, ...]:
        return tuple(link for link in self._links.values() if link.is_open)

    @property
    def connected(self) -> int:
        """How many regions we have a link to: the rack is ready when this is not 0."""
        return len(self.links)

    def start(self) -> None:
        for text in self._identity.addresses:
            self._dial(Address.parse(text))
        self._spawn("certificate renewal", self._renew_forever())

    async def stop(self) -> None:
        """Every link is closed and every handler has stopped. Harmless to repeat."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _dial(self, address: Address) -> None:
        self._dialling[address] = self._spawn(f"link to {address}", self._keep(address))

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Regions that come and go -----------------------------------------------------------------------------------

    def _told(self, _: Link, name: str, body: Any) -> None:
        """An event of a region: it says where all of them are."""
        if name == REGION_ADDRESSES:
            self._spawn("addresses", self._take_addresses(from_plain(body, RegionAddresses).addresses))

    async def _take_addresses(self, texts: tuple[str, ...]) -> None:
        """Dial the regions that are new, leave those that are gone for good, and remember it."""
        wanted = {Address.parse(text) for text in texts}
        if not wanted or set(texts) == set(self._identity.addresses):
            return
        identity = evolve(self._identity, addresses=tuple(sorted(texts)))
        self._identity = identity
        for address in wanted - set(self._dialling):
            log.info("region_found", region=str(address))
            self._dial(address)
        for address in set(self._dialling) - wanted - set(self._links):
            log.info("region_given_up", region=str(address))
            self._dialling.pop(address).cancel()
        try:
            await asyncio.to_thread(self._save, identity)
        except OSError as error:
            log.warning("region_addresses_not_saved", reason=str(error))

    # Links ------------------------------------------------------------------------------------------------------

    async def _keep(self, address: Address) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            begun_at = loop.time()
            reason, replaced = await self._one_link(address)
            if replaced:
                continue
            if loop.time() - begun_at >= self._around.backoff.steady_s:
                failures = 0
            refused = not reason.retryable
            delay_s = self._around.backoff.delay_s(failures, refused=refused, chance=self._around.chance())
            failures += 1
            tell = log.error if refused else log.warning
            tell(
                "region_refused" if refused else "region_lost",
                region=str(address),
                code=reason.code,
                reason=reason.message,
                again_in_s=round(delay_s, 1),
            )
            await self._around.sleep(delay_s)

    async def _one_link(self, address: Address) -> tuple[InnkeeperError, bool]:
        """From dialling to the end of the link: why it ended, and whether we ended it to come back anew."""
        try:
            link = await connect(address, self._tls, self._side)
        except InnkeeperError as error:
            return error, False
        except Exception as error:  # noqa: BLE001  # a bug met while dialling must not end the dialling for good
            return told_of(error, "dial"), False
        self._links[address] = link
        log.info("region_linked", region=str(address), region_name=link.peer.name)
        try:
            await self._on_link(link)
            return await link.closed(), link in self._replaced
        finally:
            link.close("the rack is stopping")
            await link.closed()
            del self._links[address]
            self._replaced.discard(link)
            await self._on_lost(link)

    # Renewal ----------------------------------------------------------------------------------------------------

    async def _renew_forever(self) -> None:
        while True:
            left_s = (renew_at(load_certificate(self._identity.certificate_pem)) - self._around.clock()).total_seconds()
            if left_s > 0:
                await self._around.sleep(min(left_s, LONGEST_SLEEP_S))
            elif not await self._renewed():
                await self._around.sleep(RENEW_RETRY_S * (0.5 + self._around.chance() / 2))

    async def _renewed(self) -> bool:
        link = next(iter(self.links), None)
        ends_at = load_certificate(self._identity.certificate_pem).not_valid_after_utc.isoformat()
        if link is None:
            log.warning("certificate_renewal_delayed", reason="no link to any region", ends_at=ends_at)
            return False
        try:
            await self._renew(link)
        except (InnkeeperError, OSError) as error:
            log.warning("certificate_renewal_failed", reason=str(error), ends_at=ends_at)
            return False
        for each in self.links:
            await self._replace(each)
        return True

    async def _renew(self, link: Link) -> None:
        key_pem = await asyncio.to_thread(make_key)
        request_pem = make_signing_request(key_pem, self._identity.name)
        answer = await link.call(RACK_RENEW, RenewCall(signing_request_pem=request_pem), deadline_s=RENEW_DEADLINE_S)
        identity = self._identity.renewed(key_pem, answer.certificate_pem, answer.authority_pem)
        await asyncio.to_thread(self._save, identity)
        self._identity, self._tls = identity, MemberTls(identity.credentials)
        ends_at = load_certificate(identity.certificate_pem).not_valid_after_utc.isoformat()
        log.info("certificate_renewed", ends_at=ends_at)

    async def _replace(self, link: Link) -> None:
        """End a link made with the old certificate as soon as no call is under way; `_keep` dials anew at once.

        The region ends it when the old certificate expires, so a link that is never quiet is no harm.
        """
        while link.is_open and not link.is_quiet:
            await self._around.sleep(1.0)
        if link.is_open:
            self._replaced.add(link)
            link.close("replaced by a link with the renewed certificate")
