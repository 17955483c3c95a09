"""Maintains a link to every region and renews the rack's certificate."""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any

import structlog
from attrs import evolve, frozen

from common.errors import InnkeeperError
from common.process.periodic import NextRoundIn, PeriodicTask
from common.release import running_release
from common.rpc.backoff import Backoff
from common.rpc.call_observer import UNOBSERVED, CallObserver
from common.rpc.commands.region_commands import RACK_RENEW, REGION_ADDRESSES, RegionAddresses, RenewCall
from common.rpc.connection import connect
from common.rpc.handlers import Handlers, Side, reportable_error
from common.rpc.link import Link
from common.rpc.peers import Address, idle_timeout_capability, release_capability
from common.rpc.session import Limits
from common.rpc.tls import MemberTls
from common.serialization import from_dict
from common.trust.certificates import Role, load_certificate, make_key, make_signing_request, renew_at, utc_now
from rackd.identity import Identity

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

RENEW_DEADLINE_S = 15.0
RENEW_RETRY_S = 60.0
MAX_SLEEP_S = 3600.0  # the clock may change: check the certificate again
IDLE_POLL_S = 1.0
DEFAULT_LIMITS = Limits()
DEFAULT_BACKOFF = Backoff()


async def _do_nothing(_: Link) -> None:
    pass


@frozen(kw_only=True)
class Environment:
    """Time and randomness, which tests replace."""

    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random_module.random
    backoff: Backoff = DEFAULT_BACKOFF


class RegionLinks:
    """Connects to every region of the identity, and to those that a region announces.

    `save` stores a changed identity (in a thread). `on_link` and `on_lost` are called once for each link.
    """

    def __init__(
        self,
        identity: Identity,
        handlers: Handlers,
        *,
        save: Callable[[Identity], None],
        on_link: Callable[[Link], Awaitable[None]] = _do_nothing,
        on_lost: Callable[[Link], Awaitable[None]] = _do_nothing,
        limits: Limits = DEFAULT_LIMITS,
        observer: CallObserver = UNOBSERVED,
        environment: Environment | None = None,
    ) -> None:
        self._identity = identity
        self._changing = asyncio.Lock()  # of the identity, until it is saved: certificate and addresses change apart
        self._tls = MemberTls(identity.credentials)
        self._side = Side(
            role=Role.RACK,
            name=identity.name,
            capabilities=(
                release_capability(running_release()),
                idle_timeout_capability(limits.idle_timeout_s),
            ),
            handlers=handlers,
            on_event=self._on_event,
            limits=limits,
            observer=observer,
        )
        self._save = save
        self._on_link = on_link
        self._on_lost = on_lost
        self._environment = environment or Environment()
        self._links: dict[Address, Link] = {}
        self._replaced: set[Link] = set()
        self._connections: dict[Address, PeriodicTask] = {}
        self._failures: dict[Address, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewal = PeriodicTask(
            "certificate_renewal", self._renew_if_due, every_s=RENEW_RETRY_S, sleep=self._environment.sleep
        )

    @property
    def identity(self) -> Identity:
        """The newest identity: its certificate and region addresses change."""
        return self._identity

    @property
    def links(self) -> tuple[Link, ...]:
        """The open links."""
        return tuple(link for link in self._links.values() if link.is_open)

    @property
    def connected(self) -> int:
        """The number of linked regions."""
        return len(self.links)

    def start(self) -> None:
        """Starts to connect. Requires a running event loop."""
        for text in self._identity.addresses:
            self._add_region(Address.parse(text))
        self._renewal.start()

    async def stop(self) -> None:
        """Returns when every link is closed and every handler has stopped. Idempotent."""
        for task in self._tasks:
            task.cancel()
        stops = [self._renewal.stop(), *(connection.stop() for connection in self._connections.values())]
        await asyncio.gather(*stops, *self._tasks, return_exceptions=True)

    def _add_region(self, address: Address) -> None:
        async def connect_once() -> NextRoundIn:
            return await self._connect(address)

        self._failures[address] = 0
        connection = PeriodicTask(
            f"link to {address}",
            connect_once,
            every_s=self._environment.backoff.longest_s,
            sleep=self._environment.sleep,
        )
        self._connections[address] = connection
        connection.start()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_event(self, _: Link, name: str, body: Any) -> None:
        if name == REGION_ADDRESSES:
            self._spawn("region addresses", self._update_regions(from_dict(body, RegionAddresses).addresses))

    async def _update_regions(self, texts: tuple[str, ...]) -> None:
        """Connects to new regions, disconnects from removed ones that have no link, and saves the addresses."""
        wanted = {Address.parse(text) for text in texts}
        removed: list[PeriodicTask] = []
        try:
            async with self._changing:
                if not wanted or set(texts) == set(self._identity.addresses):
                    return
                self._identity = evolve(self._identity, addresses=tuple(sorted(texts)))
                removed = self._connect_to(wanted)
                try:
                    await asyncio.to_thread(self._save, self._identity)
                except OSError as error:
                    log.warning("region_addresses_not_saved", reason=str(error))
        finally:
            await asyncio.gather(*(connection.stop() for connection in removed))

    def _connect_to(self, wanted: set[Address]) -> list[PeriodicTask]:
        """Connects to new regions; returns the connections of others without a link, for the caller to stop."""
        for address in wanted - set(self._connections):
            log.info("region_added", region=str(address))
            self._add_region(address)
        removed = set(self._connections) - wanted - set(self._links)
        for address in removed:
            log.info("region_removed", region=str(address))
        return [self._connections.pop(address) for address in removed]

    async def _connect(self, address: Address) -> NextRoundIn:
        """Returns after the link has ended or the connection attempt has failed."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        reason, replaced = await self._run_link(address)
        if replaced:
            return NextRoundIn(0.0)
        if loop.time() - started_at >= self._environment.backoff.steady_s:
            self._failures[address] = 0
        rejected = not reason.retryable
        delay_s = self._environment.backoff.delay_s(
            self._failures[address], rejected=rejected, chance=self._environment.chance()
        )
        self._failures[address] += 1
        write = log.error if rejected else log.warning
        write(
            "region_rejected_rack" if rejected else "region_link_lost",
            region=str(address),
            code=reason.code,
            reason=reason.message,
            retry_in_s=round(delay_s, 1),
        )
        return NextRoundIn(delay_s)

    async def _run_link(self, address: Address) -> tuple[InnkeeperError, bool]:
        """Returns why the link ended, and whether the rack closed it to reconnect with a new certificate."""
        try:
            link = await connect(address, self._tls, self._side)
        except InnkeeperError as error:
            return error, False
        except Exception as error:  # noqa: BLE001  # a bug in one attempt is logged as its reason; the next follows
            return reportable_error(error, "dial"), False
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

    async def _renew_if_due(self) -> NextRoundIn:
        due_at = renew_at(load_certificate(self._identity.certificate_pem))
        left_s = (due_at - self._environment.clock()).total_seconds()
        if left_s > 0:
            return NextRoundIn(min(left_s, MAX_SLEEP_S))
        if await self._renewed():
            return NextRoundIn(0.0)
        return NextRoundIn(RENEW_RETRY_S * (0.5 + self._environment.chance() / 2))

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
        renewed = await link.call(RACK_RENEW, RenewCall(signing_request_pem=request_pem), deadline_s=RENEW_DEADLINE_S)
        async with self._changing:
            identity = self._identity.renewed(key_pem, renewed.certificate_pem, renewed.authority_pem)
            await asyncio.to_thread(self._save, identity)
            self._identity, self._tls = identity, MemberTls(identity.credentials)
        ends_at = load_certificate(identity.certificate_pem).not_valid_after_utc.isoformat()
        log.info("certificate_renewed", ends_at=ends_at)

    async def _replace(self, link: Link) -> None:
        """Closes a link with the old certificate as soon as it is idle; `_connect` reconnects at once.

        A link that is never idle does no harm: the region closes it when the old certificate expires.
        """
        while link.is_open and not link.is_idle:
            await self._environment.sleep(IDLE_POLL_S)
        if link.is_open:
            self._replaced.add(link)
            link.close("replaced by a link with the renewed certificate")
