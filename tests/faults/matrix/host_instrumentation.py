"""Instruments the hosts of the matrix: calls cross the trace's points, and a host can stop answering."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from attrs import define, evolve, field

from common.addresses.report_url import USER_DATA, report_url
from common.errors import HostUnreachable, LinkLost
from common.guests.guest_spec import GuestSpec
from common.hosts.discovery import Discovery
from common.values import DriverType, Guest, GuestRef, HostAccess, PeerIdentity
from common.words.operation_kinds import OperationKind
from rackd.drivers.contract import Driver
from rackd.drivers.registry import DriverRegistry
from rackd.drivers.simulated.boots import THREAD as BOOTS_THREAD
from rackd.drivers.simulated.boots import SimulatedBoots
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store
from rackd.settings import RackSettings
from tests.doubles.lxd_double import FakeLxd, FakeLxdDriver, FakeLxds
from tests.faults.matrix.current_trace import host_call
from tests.faults.matrix.points import Side
from tests.faults.matrix.trace import Trace

Wrapper = Callable[[Any], Any]
REPORT_TIMEOUT_S = 5.0
_thread = threading.local()


@define
class Refreshes:
    """The scheduled refreshes of hosts that run now."""

    _running: int = 0
    _none: asyncio.Event = field(factory=asyncio.Event)

    @contextmanager
    def one(self) -> Iterator[None]:
        self._running += 1
        self._none.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._none.set()

    async def ended(self) -> None:
        """Returns when none runs."""
        if self._running:
            await self._none.wait()


@define
class Instrumentation:
    """`trace` is the current run. `unreachable` are hosts that do not answer, `failing_calls` single calls of hosts.

    `dead` hosts stay unreachable after the outage of a fault.
    `lxd_servers` are the LXD doubles by address; their guests are on simulated hosts of the same names. `region_url`
    returns the address at which guests report, `http://…/MAAS/`.
    """

    trace: Trace | None = None
    unreachable: set[str] = field(factory=set)
    dead: set[str] = field(factory=set)
    failing_calls: set[tuple[str, str]] = field(factory=set)
    lxd_servers: dict[str, FakeLxd] = field(factory=dict)
    region_url: Callable[[], str] = str
    refreshes: Refreshes = field(factory=Refreshes)
    _held: dict[OperationKind, asyncio.Event] = field(factory=dict)

    @contextmanager
    def attempts_held(self, kind: OperationKind) -> Iterator[None]:
        """Attempts at operations of this kind wait in `may_begin` until the block ends."""
        self._held[kind] = released = asyncio.Event()
        try:
            yield
        finally:
            del self._held[kind]
            released.set()

    async def may_begin(self, kind: OperationKind) -> None:
        """Returns when attempts at operations of this kind are not held."""
        if kind in self._held:
            await self._held[kind].wait()

    def reach(self, host: str, what: str) -> None:
        """Raises HostUnreachable if the host does not answer this call."""
        if host in self.unreachable | self.dead or (host, what) in self.failing_calls:
            raise HostUnreachable(f"{host}: the hypervisor does not answer ({what})")

    def report(self, deployment_id: int, secret: str) -> None:
        """What a booted guest does; it tries again when the region is away."""
        self._request(deployment_id, secret, data=b"hostname=guest")

    def fetch(self, deployment_id: int, secret: str) -> bytes:
        """What a guest does whose host does not store its user data."""
        return self._request(deployment_id, secret + USER_DATA)

    def _request(self, deployment_id: int, path: str, data: bytes | None = None) -> bytes:
        url = report_url(self.region_url().removesuffix("/MAAS/"), deployment_id, path)
        try:
            with urlopen(Request(url, data=data), timeout=REPORT_TIMEOUT_S) as answer:  # noqa: S310  # http, and ours
                content: bytes = answer.read()
                return content
        except HTTPError as error:
            if error.code >= 500:
                raise LinkLost(str(error)) from error
        except OSError as error:
            raise LinkLost(str(error)) from error
        return b""

    def drivers(self, settings: RackSettings) -> DriverRegistry:
        """The drivers of a rack: simulated hosts and LXD doubles."""
        assert settings.simulated_hosts is not None
        lxds = _InstrumentedLxds(self, settings)
        simulated = SimulatedDriverFactory(settings.simulated_hosts, boots=SimulatedBoots(self.report, self.fetch))
        return DriverRegistry({DriverType.LXD: lxds, DriverType.SIMULATED: simulated}, absent={})


class _InstrumentedLxds(FakeLxds):
    def __init__(self, instrumentation: Instrumentation, settings: RackSettings) -> None:
        assert settings.simulated_hosts is not None
        super().__init__(settings.simulated_hosts)
        self.instrumentation = instrumentation
        self.servers = instrumentation.lxd_servers

    def identify(self, access: HostAccess) -> PeerIdentity:
        with self.call(access, "identify"):
            return super().identify(access)

    def open(self, access: HostAccess) -> Driver:
        return cast(Driver, _InstrumentedLxdDriver(self, self.server(access), access, self.simulated(access)))

    @contextmanager
    def call(self, access: HostAccess, what: str) -> Iterator[None]:
        host_call(what, Side.BEFORE)
        self.instrumentation.reach(self.server(access).name, what)
        yield
        host_call(what, Side.AFTER)


class _InstrumentedLxdDriver(FakeLxdDriver):
    """The calls that change the server's trust; those on guests are instrumented in the simulated host.

    Its guests are in the host's project, as on LXD.
    """

    def __init__(self, lxds: _InstrumentedLxds, server: FakeLxd, access: HostAccess, guests: Driver) -> None:
        super().__init__(server, access, guests)
        self._lxds = lxds
        self._host_access = access

    def discover(self) -> Discovery:
        found = super().discover()
        return evolve(found, guests=tuple(self._in_project(guest) for guest in found.guests))

    def compose(self, spec: GuestSpec) -> Guest:
        return self._in_project(super().compose(spec))

    def find(self, guest: GuestRef) -> Guest | None:
        found = super().find(guest)
        return None if found is None else self._in_project(found)

    def _in_project(self, guest: Guest) -> Guest:
        return evolve(guest, project=self._host_access.project)

    def trust(self, certificate_pem: str, name: str, secret: str | None) -> None:
        with self._lxds.call(self._host_access, "trust"):
            super().trust(certificate_pem, name, secret)

    def untrust(self, fingerprint: str) -> None:
        with self._lxds.call(self._host_access, "untrust"):
            super().untrust(fingerprint)


def fault_calls(instrumentation: Instrumentation) -> Wrapper:
    """Wraps `FaultInjector.call`, which a simulated host calls before it acts."""

    def wrapper(call: Any) -> Any:
        def wrapped(self: FaultInjector, what: str) -> None:
            host_call(what, Side.BEFORE)
            instrumentation.reach(self.host, what)
            call(self, what)
            _thread.call = what

        return wrapped

    return wrapper


def host_transactions(transaction: Any) -> Any:
    """Wraps `Store.reading` and `Store.writing`: the host has acted when its own transaction is over."""

    @contextmanager
    def wrapped(self: Store) -> Iterator[Any]:
        with transaction(self) as db:
            yield db
        if threading.current_thread().name != BOOTS_THREAD:  # a guest that boots, no call to the host
            host_call(getattr(_thread, "call", "connect"), Side.AFTER)

    return wrapped
