"""Wraps transactions, calls and host access while the matrix runs, so that a trace sees each point.

The product does not know the instrumentation. The current trace (`current_trace.py`) is set where the request is
answered or the attempt begins, crosses the link with the number of the call, and enters the rack's threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any
from unittest.mock import patch

from asyncpg.transaction import Transaction

from common.rpc.handler_tasks import HandlerTasks
from common.rpc.link import Link
from common.rpc.session import Session
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store
from regiond.api.pipeline.dispatch import Api
from regiond.hosts.discovery.refresh import Refresher
from regiond.machines.arrivals.compose.reservation import Reservations
from regiond.operations import lease_store
from regiond.operations.engine import Engine
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation
from regiond.racks.service import Racks
from tests.faults.matrix.current_trace import current_trace, traced
from tests.faults.matrix.host_instrumentation import Instrumentation, Wrapper, fault_calls, host_transactions
from tests.faults.matrix.points import Place, Side
from tests.faults.matrix.trace import REQUEST, Trace

_ports: ContextVar[tuple[int, int]] = ContextVar("ports")  # of the link that makes the current call
_calls: dict[tuple[int, int, int], tuple[Trace, str]] = {}  # in progress: by the two ports and the call's number


@contextmanager
def instrumented() -> Iterator[Instrumentation]:
    """Wraps the product until the block ends."""
    made = Instrumentation()
    with ExitStack() as patches:
        for cls, name, wrapper in (
            (Api, "answer", _request(made)),
            (Reservations, "reserve_batch", _batch(made)),
            (Engine, "run_attempt", _attempt(made)),
            (lease_store, "acquire", _leased(made, lambda found: found.operations)),
            (lease_store, "take", _leased(made, lambda found: found[:1] if found[1] else ())),
            (lease_store, "begin_step", _step),
            (Racks, "enrol", _enrolment(made)),
            (Refresher, "refresh", _refresh(made)),
            (Transaction, "__aexit__", _commit),
            (Link, "call", _call),
            (Link, "stream", _stream),
            (Session, "call", _numbered_call),
            (HandlerTasks, "start", _handler),
            (FaultInjector, "call", fault_calls(made)),
            (Store, "writing", host_transactions),
            (Store, "reading", host_transactions),
        ):
            patches.enter_context(patch.object(cls, name, wrapper(getattr(cls, name))))
        yield made


def _request(instrumentation: Instrumentation) -> Wrapper:
    def wrapper(answer: Any) -> Any:
        async def wrapped(self: Api, resource: Any, path: Any, request: Any, *args: Any, **named: Any) -> Any:
            trace = instrumentation.trace
            if trace is not None and request.method != "GET" and request.idempotency_key in {None, trace.key}:
                traced.set((trace, REQUEST))
            return await answer(self, resource, path, request, *args, **named)

        return wrapped

    return wrapper


def _key_text(key: IdempotencyKey | None) -> str | None:
    return None if key is None else key.text


def _batch(instrumentation: Instrumentation) -> Wrapper:
    """Concurrent composes commit in one transaction, in the context of none of the requests."""

    def wrapper(write: Any) -> Any:
        async def wrapped(self: Reservations, batch: Any) -> Any:
            trace = instrumentation.trace
            if trace is None or all(_key_text(one.request.idempotency_key) != trace.key for one in batch):
                return await write(self, batch)
            before = traced.set((trace, REQUEST))
            try:
                return await write(self, batch)
            finally:
                traced.reset(before)

        return wrapped

    return wrapper


def _attempt(instrumentation: Instrumentation) -> Wrapper:
    def wrapper(run: Any) -> Any:
        async def wrapped(self: Engine, operation: Any) -> Any:
            prefix = None if instrumentation.trace is None else instrumentation.trace.prefix(operation)
            if instrumentation.trace is None or prefix is None:
                return await run(self, operation)
            traced.set((instrumentation.trace, prefix))
            with instrumentation.trace.attempt():
                await instrumentation.may_begin(operation.kind)
                return await run(self, operation)

        return wrapped

    return wrapper


def _leased(instrumentation: Instrumentation, operations_in: Callable[[Any], Iterable[Operation]]) -> Wrapper:
    def wrapper(lease: Any) -> Any:
        async def wrapped(db: Any, *args: Any, **more: Any) -> Any:
            found = await lease(db, *args, **more)
            for operation in operations_in(found):
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
            traced.set((trace, REQUEST))
            await trace.cross(REQUEST, Place.CALL, "rack.join", Side.BEFORE)
            joined = await enrol(self, call)
            await trace.cross(REQUEST, Place.CALL, "rack.join", Side.AFTER)
            return joined

        return wrapped

    return wrapper


def _refresh(instrumentation: Instrumentation) -> Wrapper:
    """A scheduled refresh comes after an event of a host, by chance, and waits until no further point counts.

    While it has the lock of a server, a request commits once more: points were listed that later runs did not reach.
    """

    def wrapper(refresh: Any) -> Any:
        async def wrapped(self: Refresher, host_id: int) -> None:
            if current_trace() is not None:
                await refresh(self, host_id)
                return
            while instrumentation.trace is not None and not instrumentation.trace.counted.is_set():
                await instrumentation.trace.counted.wait()
            with instrumentation.refreshes.one():
                await refresh(self, host_id)

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


def _step(begin: Any) -> Any:
    """A step is recorded by one statement, which commits it."""

    async def wrapped(db: Any, *args: Any, **named: Any) -> Any:
        found = current_trace()
        if found is None:
            return await begin(db, *args, **named)
        trace, prefix = found
        await trace.cross(prefix, Place.COMMIT, "", Side.BEFORE, connection=db)
        begun = await begin(db, *args, **named)
        await trace.cross(prefix, Place.COMMIT, "", Side.AFTER, connection=db)
        return begun

    return wrapped


def _call(call: Any) -> Any:
    async def wrapped(self: Link, command: Any, request: Any, *, deadline_s: float) -> Any:
        found = current_trace()
        if found is None:
            return await call(self, command, request, deadline_s=deadline_s)
        trace, prefix = found
        await trace.cross(prefix, Place.CALL, command.name, Side.BEFORE)
        _ports.set(self.ports)
        answer = await call(self, command, request, deadline_s=deadline_s)
        await trace.cross(prefix, Place.CALL, command.name, Side.AFTER)
        return answer

    return wrapped


def _stream(stream: Any) -> Any:
    async def wrapped(self: Link, command: Any, request: Any, *, deadline_s: float) -> AsyncGenerator[Any, None]:
        found = current_trace()
        if found is not None:
            await found[0].cross(found[1], Place.CALL, command.name, Side.BEFORE)
            _ports.set(self.ports)
        async for item in stream(self, command, request, deadline_s=deadline_s):
            yield item
        if found is not None:
            await found[0].cross(found[1], Place.CALL, command.name, Side.AFTER)

    return wrapped


def _numbered_call(call: Any) -> Any:
    """Notes the trace of a call by its number, which reaches the handler. The link starts its call at once."""

    def wrapped(self: Session, *args: Any, **more: Any) -> int:
        number: int = call(self, *args, **more)
        if (found := current_trace()) is not None:
            _calls[(*_ports.get(), number)] = found
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
        context.run(traced.set, found)
        context.run(start, self, wanted, link, *args)

    return wrapped
