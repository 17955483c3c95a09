"""Wraps transactions, calls and host access while the matrix runs, so that a trace sees each point.

The product does not know the instrumentation. A context variable says to which trace code belongs: it is set where
the request is answered or the attempt begins, crosses the link with the number of the call, and enters the rack's
threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any
from unittest.mock import patch

from asyncpg.transaction import Transaction
from attrs import define, field

from common.errors import HostUnreachable
from common.rpc.handler_tasks import HandlerTasks
from common.rpc.link import Link
from common.values import DriverType, HostAccess, PeerIdentity
from rackd.drivers.contract import Driver
from rackd.drivers.registry import DriverRegistry
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store
from rackd.settings import RackSettings
from regiond.api.dispatch import Api
from regiond.machines.compose.reservation import Reservations
from regiond.operations import lease_store
from regiond.operations.engine import Engine
from regiond.racks.service import Racks
from tests.faults.matrix.points import Place, Side
from tests.faults.matrix.trace import REQUEST, Trace
from tests.lxd_double import FakeLxd, FakeLxdDriver, FakeLxds

NOT_COUNTED = ("connect",)  # whether a connection exists already is chance

_traced: ContextVar[tuple[Trace, str] | None] = ContextVar("traced", default=None)
_calls: dict[tuple[int, int, int], tuple[Trace, str]] = {}  # in progress: by the two ports and the call's number


@define
class Instrumentation:
    """`trace` is the current run. `unreachable` are hosts that do not answer, `failing_calls` single calls of hosts.

    `lxd_servers` are the LXD doubles by address; their guests are on simulated hosts of the same names.
    """

    trace: Trace | None = None
    unreachable: set[str] = field(factory=set)
    failing_calls: set[tuple[str, str]] = field(factory=set)
    lxd_servers: dict[str, FakeLxd] = field(factory=dict)

    def reach(self, host: str, what: str) -> None:
        """Raises HostUnreachable if the host does not answer this call."""
        if host in self.unreachable or (host, what) in self.failing_calls:
            raise HostUnreachable(f"{host}: the hypervisor does not answer ({what})")

    def drivers(self, settings: RackSettings) -> DriverRegistry:
        """The drivers of a rack: simulated hosts and LXD doubles."""
        assert settings.simulated_hosts is not None
        lxds = _InstrumentedLxds(self, settings)
        simulated = SimulatedDriverFactory(settings.simulated_hosts)
        return DriverRegistry({DriverType.LXD: lxds, DriverType.SIMULATED: simulated}, absent={})


def current_trace() -> tuple[Trace, str] | None:
    """The trace that the calling code belongs to, and the label prefix of its points."""
    found = _traced.get()
    return None if found is None or found[0].ended else found


def host_call(what: str, side: Side) -> None:
    """Crosses the point before or after a call to a host, in a thread of the rack."""
    if (found := current_trace()) is not None and what not in NOT_COUNTED:
        found[0].cross_in_thread(found[1], what, side)


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
        return _InstrumentedLxdDriver(self, self.server(access), access, self.simulated(access))

    @contextmanager
    def call(self, access: HostAccess, what: str) -> Iterator[None]:
        host_call(what, Side.BEFORE)
        self.instrumentation.reach(self.server(access).name, what)
        yield
        host_call(what, Side.AFTER)


class _InstrumentedLxdDriver(FakeLxdDriver):
    """The calls that change the server's trust; those on guests are instrumented in the simulated host."""

    def __init__(self, lxds: _InstrumentedLxds, server: FakeLxd, access: HostAccess, guests: Driver) -> None:
        super().__init__(server, access, guests)
        self._lxds = lxds
        self._host_access = access

    def trust(self, certificate_pem: str, name: str, secret: str | None) -> None:
        with self._lxds.call(self._host_access, "trust"):
            super().trust(certificate_pem, name, secret)

    def untrust(self, fingerprint: str) -> None:
        with self._lxds.call(self._host_access, "untrust"):
            super().untrust(fingerprint)


@contextmanager
def instrumented() -> Iterator[Instrumentation]:
    """Wraps the product until the block ends."""
    made = Instrumentation()
    with ExitStack() as patches:
        for cls, name, wrapper in (
            (Api, "answer", _request(made)),
            (Reservations, "reserve_batch", _batch(made)),
            (Engine, "run_attempt", _attempt(made)),
            (lease_store, "acquire", _acquire(made)),
            (Racks, "enrol", _enrolment(made)),
            (Transaction, "__aexit__", _commit),
            (Link, "call", _call),
            (Link, "stream", _stream),
            (Link, "_start_call", _start_call),
            (HandlerTasks, "start", _handler),
            (FaultInjector, "call", _host_call(made)),
            (Store, "writing", _host_transaction),
            (Store, "reading", _host_transaction),
        ):
            patches.enter_context(patch.object(cls, name, wrapper(getattr(cls, name))))
        yield made


Wrapper = Callable[[Any], Any]


def _request(instrumentation: Instrumentation) -> Wrapper:
    def wrapper(answer: Any) -> Any:
        async def wrapped(self: Api, resource: Any, path: Any, request: Any, request_id: str) -> Any:
            trace = instrumentation.trace
            if trace is not None and request.idempotency_key == trace.key:
                _traced.set((trace, REQUEST))
            return await answer(self, resource, path, request, request_id)

        return wrapped

    return wrapper


def _batch(instrumentation: Instrumentation) -> Wrapper:
    """Concurrent composes commit in one transaction, in the context of none of the requests."""

    def wrapper(write: Any) -> Any:
        async def wrapped(self: Reservations, batch: Any) -> Any:
            trace = instrumentation.trace
            if trace is None or all(one.request.idempotency_key != trace.key for one in batch):
                return await write(self, batch)
            before = _traced.set((trace, REQUEST))
            try:
                return await write(self, batch)
            finally:
                _traced.reset(before)

        return wrapped

    return wrapper


def _attempt(instrumentation: Instrumentation) -> Wrapper:
    def wrapper(run: Any) -> Any:
        async def wrapped(self: Engine, operation: Any) -> None:
            prefix = None if instrumentation.trace is None else instrumentation.trace.prefix(operation)
            if instrumentation.trace is None or prefix is None:
                await run(self, operation)
                return
            _traced.set((instrumentation.trace, prefix))
            with instrumentation.trace.attempt():
                await run(self, operation)

        return wrapped

    return wrapper


def _acquire(instrumentation: Instrumentation) -> Wrapper:
    def wrapper(acquire: Any) -> Any:
        async def wrapped(db: Any, *args: Any, **more: Any) -> Any:
            found = await acquire(db, *args, **more)
            for operation in found:
                prefix = None if instrumentation.trace is None else instrumentation.trace.prefix(operation)
                if instrumentation.trace is not None and prefix is not None:
                    await instrumentation.trace.cross(prefix, Place.ACQUIRE, "", Side.AFTER, connection=db)
            return found

        return wrapped

    return wrapper


def _enrolment(instrumentation: Instrumentation) -> Wrapper:
    """A new rack has no operation: a trace without kinds of operations is that of an enrolment."""

    def wrapper(enrol: Any) -> Any:
        async def wrapped(self: Racks, call: Any) -> Any:
            trace = instrumentation.trace
            if trace is None or trace.kinds:
                return await enrol(self, call)
            _traced.set((trace, REQUEST))
            await trace.cross(REQUEST, Place.CALL, "rack.join", Side.BEFORE)
            joined = await enrol(self, call)
            await trace.cross(REQUEST, Place.CALL, "rack.join", Side.AFTER)
            return joined

        return wrapped

    return wrapper


def _commit(leave: Any) -> Any:
    async def wrapped(self: Any, kind: Any, error: Any, traceback: Any) -> None:
        found = current_trace()
        if found is None or kind is not None or self._nested:
            await leave(self, kind, error, traceback)
            return
        trace, prefix = found
        connection = self._connection
        await trace.cross(prefix, Place.COMMIT, "", Side.BEFORE, connection=connection)
        try:
            await leave(self, kind, error, traceback)
        except asyncio.CancelledError:
            # A commit that releases the lease is visible before its answer arrives, so the next attempt, which
            # cancels this one, may have begun.
            await trace.cross(prefix, Place.COMMIT, "", Side.AFTER, connection=connection)
            raise
        await trace.cross(prefix, Place.COMMIT, "", Side.AFTER, connection=connection)

    return wrapped


def _call(call: Any) -> Any:
    async def wrapped(self: Link, command: Any, request: Any, *, deadline_s: float) -> Any:
        found = current_trace()
        if found is None:
            return await call(self, command, request, deadline_s=deadline_s)
        trace, prefix = found
        await trace.cross(prefix, Place.CALL, command.name, Side.BEFORE)
        answer = await call(self, command, request, deadline_s=deadline_s)
        await trace.cross(prefix, Place.CALL, command.name, Side.AFTER)
        return answer

    return wrapped


def _stream(stream: Any) -> Any:
    async def wrapped(self: Link, command: Any, request: Any, *, deadline_s: float) -> AsyncGenerator[Any, None]:
        found = current_trace()
        if found is not None:
            await found[0].cross(found[1], Place.CALL, command.name, Side.BEFORE)
        async for item in stream(self, command, request, deadline_s=deadline_s):
            yield item
        if found is not None:
            await found[0].cross(found[1], Place.CALL, command.name, Side.AFTER)

    return wrapped


def _start_call(start: Any) -> Any:
    def wrapped(self: Link, *args: Any) -> int:
        number: int = start(self, *args)
        if (found := current_trace()) is not None:
            _calls[(*self.ports, number)] = found
        return number

    return wrapped


def _handler(start: Any) -> Any:
    """The handler of a traced call belongs to the same trace."""

    def wrapped(self: HandlerTasks, wanted: Any, link: Link, *args: Any) -> None:
        here, there = link.ports
        found = _calls.pop((there, here, wanted.call_id), None)
        if found is None:
            start(self, wanted, link, *args)
            return
        context = copy_context()
        context.run(_traced.set, found)
        context.run(start, self, wanted, link, *args)

    return wrapped


_thread = threading.local()


def _host_call(instrumentation: Instrumentation) -> Wrapper:
    def wrapper(call: Any) -> Any:
        def wrapped(self: FaultInjector, what: str) -> None:
            host_call(what, Side.BEFORE)
            instrumentation.reach(self.host, what)
            call(self, what)
            _thread.call = what

        return wrapped

    return wrapper


def _host_transaction(transaction: Any) -> Any:
    """The host has acted when its own transaction is over."""

    @contextmanager
    def wrapped(self: Store) -> Iterator[Any]:
        with transaction(self) as db:
            yield db
        host_call(getattr(_thread, "call", "connect"), Side.AFTER)

    return wrapped
