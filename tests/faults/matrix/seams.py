"""The seams: put around transactions, calls and hosts for as long as the matrix runs. The product knows none of them.

What an operation does is told from what happens beside it by the context: it begins where the request is answered or
the attempt is made, goes over the link with the call's number, and into the rack's threads.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any
from unittest.mock import patch

from asyncpg.transaction import Transaction
from attrs import define, field

from common.errors import HostUnreachable
from common.rpc.link import Link
from rackd.drivers.simulated.pace import Pace
from rackd.drivers.simulated.store import Store
from regiond.api.answering import Api
from regiond.machines.committing import Committer
from regiond.operations import lease_store
from regiond.operations.engine import Engine
from tests.faults.matrix.points import Side, Where
from tests.faults.matrix.trace import ASKING, Trace
from tests.lxd_double import FakeLxd

NOT_COUNTED = ("connect",)  # whether a connection stands already is chance

_traced: ContextVar[tuple[Trace, str] | None] = ContextVar("traced", default=None)
_calls: dict[tuple[int, int, int], tuple[Trace, str]] = {}  # under way: from which port, to which, number


@define
class Watched:
    """`trace` is the run under way; `away` are the simulated hosts whose daemon does not answer, `away_at` those that
    do not answer one kind of call.

    `lxd_servers` are by the address under which racks reach them; their guests are in simulated hosts of these names.
    """

    trace: Trace | None = None
    away: set[str] = field(factory=set)
    away_at: set[tuple[str, str]] = field(factory=set)
    lxd_servers: dict[str, FakeLxd] = field(factory=dict)


def traced() -> tuple[Trace, str] | None:
    """The trace to which what runs here belongs, and whose it is there. For seams of scenarios."""
    found = _traced.get()
    return None if found is None or found[0].ended else found


def host_call(what: str, side: Side) -> None:
    """A call to a host is about to be made, or has been answered, in this thread of the rack."""
    if (found := traced()) is not None and what not in NOT_COUNTED:
        found[0].cross_in_thread(found[1], what, side)


@contextmanager
def seams() -> Iterator[Watched]:
    """Everything is watched until the block ends."""
    watched = Watched()
    with ExitStack() as put:
        for cls, name, around in (
            (Api, "answer", _request(watched)),
            (Committer, "_all", _committed(watched)),
            (Engine, "_attempt", _attempt(watched)),
            (lease_store, "take", _take(watched)),
            (Transaction, "__aexit__", _commit),
            (Link, "call", _call),
            (Link, "stream", _stream),
            (Link, "_ask", _ask),
            (Link, "_start_handler", _handler),
            (Pace, "call", _pace(watched)),
            (Store, "writing", _stored),
            (Store, "reading", _stored),
        ):
            put.enter_context(patch.object(cls, name, around(getattr(cls, name))))
        yield watched


Around = Callable[[Any], Any]


def _request(watched: Watched) -> Around:
    def around(answer: Any) -> Any:
        async def answered(self: Api, resource: Any, path: Any, incoming: Any, reference: str) -> Any:
            trace = watched.trace
            if trace is not None and incoming.idempotency_key == trace.key:
                _traced.set((trace, ASKING))
            return await answer(self, resource, path, incoming, reference)

        return answered

    return around


def _committed(watched: Watched) -> Around:
    """Composes of one moment are committed together, by none of the requests."""

    def around(write: Any) -> Any:
        async def committed(self: Committer, commits: Any) -> Any:
            trace = watched.trace
            if trace is None or all(commit.key != trace.key for commit in commits):
                return await write(self, commits)
            before = _traced.set((trace, ASKING))
            try:
                return await write(self, commits)
            finally:
                _traced.reset(before)

        return committed

    return around


def _attempt(watched: Watched) -> Around:
    def around(attempt: Any) -> Any:
        async def attempted(self: Engine, operation: Any) -> None:
            whose = None if watched.trace is None else watched.trace.whose(operation)
            if watched.trace is not None and whose is not None:
                _traced.set((watched.trace, whose))
            await attempt(self, operation)

        return attempted

    return around


def _take(watched: Watched) -> Around:
    def around(take: Any) -> Any:
        async def taken(db: Any, *args: Any, **more: Any) -> Any:
            found = await take(db, *args, **more)
            for operation in found:
                whose = None if watched.trace is None else watched.trace.whose(operation)
                if watched.trace is not None and whose is not None:
                    await watched.trace.cross(whose, Where.TAKE, "", Side.AFTER, connection=db)
            return found

        return taken

    return around


def _commit(leave: Any) -> Any:
    async def left(self: Any, kind: Any, error: Any, traceback: Any) -> None:
        found = traced()
        if found is None or kind is not None or self._nested:
            await leave(self, kind, error, traceback)
            return
        trace, whose = found
        connection = self._connection
        await trace.cross(whose, Where.COMMIT, "", Side.BEFORE, connection=connection)
        await leave(self, kind, error, traceback)
        await trace.cross(whose, Where.COMMIT, "", Side.AFTER, connection=connection)

    return left


def _call(call: Any) -> Any:
    async def called(self: Link, command: Any, request: Any, *, deadline_s: float) -> Any:
        found = traced()
        if found is None:
            return await call(self, command, request, deadline_s=deadline_s)
        trace, whose = found
        await trace.cross(whose, Where.CALL, command.name, Side.BEFORE, link=self)
        answer = await call(self, command, request, deadline_s=deadline_s)
        await trace.cross(whose, Where.CALL, command.name, Side.AFTER, link=self)
        return answer

    return called


def _stream(stream: Any) -> Any:
    async def streamed(self: Link, command: Any, request: Any, *, deadline_s: float) -> AsyncGenerator[Any, None]:
        found = traced()
        if found is not None:
            await found[0].cross(found[1], Where.CALL, command.name, Side.BEFORE, link=self)
        async for item in stream(self, command, request, deadline_s=deadline_s):
            yield item
        if found is not None:
            await found[0].cross(found[1], Where.CALL, command.name, Side.AFTER, link=self)

    return streamed


def _ask(ask: Any) -> Any:
    def asked(self: Link, *args: Any) -> int:
        number: int = ask(self, *args)
        if (found := traced()) is not None:
            _calls[(*_ports(self), number)] = found
        return number

    return asked


def _handler(start: Any) -> Any:
    """The other end of a call that is traced is traced too."""

    def started(self: Link, wanted: Any) -> None:
        here, there = _ports(self)
        found = _calls.pop((there, here, wanted.call_id), None)
        if found is None:
            start(self, wanted)
            return
        context = copy_context()
        context.run(_traced.set, found)
        context.run(start, self, wanted)

    return started


def _ports(link: Any) -> tuple[int, int]:
    wire = link._carrier._wire
    return wire.getHost().port, wire.getPeer().port


_thread = threading.local()


def _pace(watched: Watched) -> Around:
    def around(call: Any) -> Any:
        def paced(self: Pace, what: str) -> None:
            host_call(what, Side.BEFORE)
            name = self._address.name
            if name in watched.away or (name, what) in watched.away_at:
                raise HostUnreachable(f"{self._address.identity}: the hypervisor's daemon is away ({what})")
            call(self, what)
            _thread.doing = what

        return paced

    return around


def _stored(transaction: Any) -> Any:
    """The host has acted when its own transaction is over."""

    @contextmanager
    def stored(self: Store) -> Iterator[Any]:
        with transaction(self) as db:
            yield db
        host_call(getattr(_thread, "doing", "connect"), Side.AFTER)

    return stored
