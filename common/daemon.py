"""What every daemon's entry module does: check the installation, run under Twisted's asyncio reactor, end in time."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import packages_distributions
from typing import Any, NoReturn, cast

import structlog

from common.errors import BadSettings, InnkeeperError
from common.private_files import NO_ROOM

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

OK, FAILED, MISCONFIGURED = 0, 1, 2
LAST_SECONDS_S = 5.0

_OURS = ("common", "regiond", "rackd", "innkeeper")


def check_installation(providers: Mapping[str, Sequence[str]] | None = None) -> None:
    """Raises BadSettings when another distribution has put files where ours are: imports could be of its code.

    `providers` are the distributions of each package; None looks at what is installed.
    """
    found = packages_distributions() if providers is None else providers
    for name in _OURS:
        others = set(found.get(name, ())) - {"innkeeper"}
        if others:
            raise BadSettings(
                f"The Python package '{name}' is also installed by {', '.join(sorted(others))}: "
                f"install innkeeper in a virtual environment of its own."
            )


def allow_open_files(wanted: int) -> None:
    """Lift this process's own limit towards `wanted` open files: each connection to a host is one, at least."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= possible:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    except (OSError, ValueError) as error:
        log.warning("open_files_limited", limit=soft, wanted=wanted, error=str(error))


def keep_for_good() -> None:
    """Once a daemon has started: what is there by now (modules, classes, routes) stays until it ends, so the collector
    of garbage need never walk through it again. A walk through all of it halts everybody for 50 to 250 ms."""
    gc.collect()
    gc.freeze()


def install_reactor() -> None:
    """Call this before anything imports `twisted.internet.reactor`."""
    from twisted.internet import asyncioreactor  # noqa: PLC0415  # the first word that Twisted hears

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # so that what is begun before the loop turns belongs to it
    asyncioreactor.install(loop)


def run(work: Coroutine[Any, Any, None], *, when_interrupted: int = OK) -> int:
    """The exit status, once `work` has ended. SIGTERM and SIGINT cancel it, once: its `finally` blocks shut down.

    An InnkeeperError is one sentence on standard error. The process ends `LAST_SECONDS_S` after `work` at the latest.
    """
    from twisted.internet import reactor as installed  # noqa: PLC0415  # by now
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor  # noqa: PLC0415

    reactor = cast(AsyncioSelectorReactor, installed)
    status = FAILED

    async def supervise() -> None:
        nonlocal status
        status = await _outcome(asyncio.ensure_future(work), when_interrupted)
        await _cancel_the_rest()
        _end_at_the_latest(status)
        reactor.stop()

    begun: list[asyncio.Future[None]] = []
    reactor.callWhenRunning(lambda: begun.append(asyncio.ensure_future(supervise())))
    reactor.run(installSignalHandlers=False)
    return status


def leave(status: int) -> NoReturn:
    """End the process now. Python's own ending would wait for threads that hang in a hypervisor's library."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # its disk is full
            stream.flush()
    os._exit(status)


async def _outcome(task: asyncio.Future[None], when_interrupted: int) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _interrupt, task)
    try:
        await task
    except asyncio.CancelledError:
        return when_interrupted
    except InnkeeperError as error:
        _say(str(error))
        return MISCONFIGURED if isinstance(error, BadSettings) else FAILED
    except OSError as error:
        if error.errno not in NO_ROOM:
            log.exception("daemon_failed")
            return FAILED
        _say(f"The disk is full: {error.filename} cannot be written. Make room there, and start again.")
        return FAILED
    except Exception:  # a bug: it is logged whole, and the service manager starts us again
        log.exception("daemon_failed")
        return FAILED
    return OK


def _say(text: str) -> None:
    """For the person or the journal; the log has its own form. Where nothing can be written, the status has to do."""
    with suppress(OSError):
        print(text, file=sys.stderr)  # noqa: T201  # as said


def _interrupt(task: asyncio.Future[None]) -> None:
    """Later signals change nothing: the shutdown is under way, and cancelling it would leave things undone."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: None)
    task.cancel()


async def _cancel_the_rest() -> None:
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _end_at_the_latest(status: int) -> None:
    """Twisted waits for its own threads; one that looks up a name may take long."""
    timer = threading.Timer(LAST_SECONDS_S, leave, [status])
    timer.daemon = True
    timer.start()
