"""Runs one coroutine on Twisted's asyncio reactor, for a command or a script."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet import asyncioreactor

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Returns or raises what `main()` does. Only once per process: a reactor cannot be restarted.

    SIGINT and SIGTERM cancel `main` and wait for it, then raise KeyboardInterrupt or SystemExit(143). Raises
    RuntimeError if another kind of reactor is installed.
    """
    reactor = _asyncio_reactor()
    started: list[asyncio.Task[T]] = []
    signals: list[int] = []

    async def main_coroutine() -> T:
        return await main()

    def start() -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(main_coroutine())
        started.append(task)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt, number)
        task.add_done_callback(lambda _: reactor.stop())

    def interrupt(number: int) -> None:
        signals.append(number)
        started[0].cancel()

    reactor.callLater(0, start)  # not callWhenRunning, which calls before the event loop runs
    reactor.run(installSignalHandlers=False)
    if started[0].cancelled() and signals:
        raise KeyboardInterrupt if signals[0] == signal.SIGINT else SystemExit(128 + signals[0])
    return started[0].result()


def _asyncio_reactor() -> Any:
    if "twisted.internet.reactor" not in sys.modules:
        asyncioreactor.install(asyncio.new_event_loop())
    from twisted.internet import reactor  # noqa: PLC0415  # importing it earlier would install another kind

    if not isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        kind = type(reactor).__name__
        raise RuntimeError(f"Twisted's asyncio reactor is required, but {kind} is installed.")  # noqa: TRY004  # a state, not an argument
    return reactor
