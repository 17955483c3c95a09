"""Runs the handlers of one link as tasks and sends their responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast

from structlog.contextvars import bind_contextvars, clear_contextvars

from common.errors import Cancelled, InternalError
from common.rpc.call_context import CallContext, accepted_context, traceparent_of
from common.rpc.call_observer import UNOBSERVED, CallObserver
from common.rpc.frames import Unsendable
from common.rpc.handlers import Handlers, reportable_error
from common.rpc.peers import Peer
from common.rpc.session import Session
from common.rpc.session_events import HandlerRequested
from common.serialization import to_dict
from common.tracing.spans import become_current


class HandlerTasks:
    """`flush` sends what the session has queued. Every request gets exactly one response from here."""

    def __init__(
        self, handlers: Handlers, session: Session, flush: Callable[[], None], observer: CallObserver = UNOBSERVED
    ) -> None:
        self._handlers = {command.name: (command, handler) for command, handler in handlers.items()}
        self._session = session
        self._flush = flush
        self._observer = observer
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._may_send: dict[int, asyncio.Event] = {}
        self._paused = False

    def start(self, request: HandlerRequested, link: Any, peer: Peer) -> None:
        """Starts the handler, which receives `link` as its first argument."""
        call_id, method = request.call_id, request.method  # the task keeps no reference to the request and its body
        context = accepted_context(peer.role, request.context)
        work = self._serve(call_id, method, [request.body], link, peer, context, traceparent_of(request.context))
        task = asyncio.get_running_loop().create_task(work, name=f"{method} for {peer}")
        self._tasks[call_id] = task

        def on_done(_: asyncio.Task[None]) -> None:
            # A task that was cancelled before its first step did not respond; a second response is ignored.
            del self._tasks[call_id]
            self._session.fail(call_id, Cancelled(f"{method} was cancelled"))
            self._flush()

        task.add_done_callback(on_done)

    def cancel(self, call_id: int) -> None:
        self._tasks[call_id].cancel()

    def on_credit(self, call_id: int) -> None:
        if event := self._may_send.get(call_id):
            event.set()

    def pause(self, *, full: bool) -> None:
        """Stops the streams while the send buffer is full."""
        self._paused = full
        if not full:
            for event in self._may_send.values():
                event.set()

    async def ended(self) -> None:
        """Returns when all handlers have ended, except one that is the caller."""
        current = asyncio.current_task()
        if others := [task for task in self._tasks.values() if task is not current]:
            await asyncio.wait(others)

    async def _serve(
        self, call_id: int, method: str, body: list[Any], link: Any, peer: Peer, context: CallContext, traceparent: str
    ) -> None:
        """Takes the only element of `body`: as plain data it can have many times the size of the handler's argument."""
        clear_contextvars()
        become_current(None)  # the task has the context of whatever made the connection readable
        bind_contextvars(**context, command=method, peer=str(peer))
        command, handler = self._handlers[method]
        try:
            with self._observer.received(method, peer, traceparent):
                outcome = handler(link, command.request_of(body.pop()))
                if command.streams:
                    await self._send_items(call_id, cast("AsyncGenerator[Any, None]", outcome))
                    reply = None
                else:
                    reply = to_dict(await cast("Awaitable[Any]", outcome))
        except Unsendable as error:
            self._session.fail(call_id, InternalError(f"an item of {method} {error}"))
        except Exception as error:  # noqa: BLE001  # a bug in a handler fails its call, not the link
            self._session.fail(call_id, reportable_error(error, method))
        else:
            self._session.done(call_id, reply)
        self._flush()

    async def _send_items(self, call_id: int, outcome: AsyncGenerator[Any, None]) -> None:
        may_send = self._may_send[call_id] = asyncio.Event()
        try:
            async with aclosing(outcome) as items:
                async for item in items:
                    while self._paused or not self._session.credit(call_id):
                        may_send.clear()
                        await may_send.wait()
                    self._session.item(call_id, to_dict(item))
                    self._flush()
                    await asyncio.sleep(0)  # lets other calls run between two batches
        finally:
            del self._may_send[call_id]
