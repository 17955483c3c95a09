"""Runs a daemon: installation check, reactor, signals, shutdown within a time limit."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pwd
import resource
import signal
import sys
import threading
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NoReturn, cast

import structlog

from common.errors import BadSettings, InnkeeperError
from common.process.private_files import DISK_FULL_ERRNOS

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

OK, FAILED, MISCONFIGURED = 0, 1, 2
EXIT_DEADLINE_S = 5.0

_PACKAGES = ("common", "regiond", "rackd", "innkeeper")


def check_installation(providers: Mapping[str, Sequence[str]] | None = None) -> None:
    """Raises BadSettings if another distribution installs files into Innkeeper's packages.

    `providers` maps packages to distributions; None reads what is installed.
    """
    found = packages_distributions() if providers is None else providers
    for name in _PACKAGES:
        others = set(found.get(name, ())) - {"innkeeper"}
        if others:
            raise BadSettings(
                f"The Python package '{name}' is also installed by {', '.join(sorted(others))}: "
                f"install innkeeper in a virtual environment of its own."
            )


def allow_open_files(wanted: int) -> None:
    """Raises this process's limit of open files to `wanted` or the hard limit. Each connection needs a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= possible:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    except (OSError, ValueError) as error:
        log.warning("open_files_limited", limit=soft, wanted=wanted, error=str(error))


def become_owner(folder: Path) -> None:
    """Root continues as the user who owns the folder, as systemd starts the daemon; others keep their user.

    PostgreSQL knows that user, and the daemon could not read files of root there. HOME is the user's too: the client of
    PostgreSQL looks for certificates in it, and fails if it may not.
    """
    if os.geteuid() != 0 or not folder.is_dir():
        return
    owner = folder.stat()
    if owner.st_uid == 0:
        return
    try:
        user = pwd.getpwuid(owner.st_uid)
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.environ["HOME"] = user.pw_dir
    except KeyError:
        os.setgroups([])
        os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)


def forbid_core_dumps() -> None:
    """A core dump would contain keys and passwords. Holds for this process and its children, also outside systemd."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def freeze_gc() -> None:
    """Excludes all current objects from garbage collection. Call it once the daemon has started.

    Modules, classes and routes live until the end; collecting them again would stop the process for 50 to 250 ms.
    """
    gc.collect()
    gc.freeze()


def install_reactor() -> None:
    """Installs the asyncio reactor. Call it before anything imports `twisted.internet.reactor`."""
    from twisted.internet import asyncioreactor  # noqa: PLC0415  # the first import of Twisted

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # for tasks created before the loop runs
    asyncioreactor.install(loop)


def run(work: Coroutine[Any, Any, None], *, when_interrupted: int = OK) -> int:
    """Runs `work` to its end and returns the exit status. The first SIGTERM or SIGINT cancels it.

    An InnkeeperError is printed as one line on standard error. The process ends at most EXIT_DEADLINE_S after `work`.
    """
    from twisted.internet import reactor as installed  # noqa: PLC0415  # installed before
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor  # noqa: PLC0415

    reactor = cast(AsyncioSelectorReactor, installed)
    status = FAILED

    async def supervise() -> None:
        nonlocal status
        status = await _outcome(asyncio.ensure_future(work), when_interrupted)
        await _cancel_other_tasks()
        _limit_exit_time(status)
        reactor.stop()

    started: list[asyncio.Future[None]] = []
    reactor.callWhenRunning(lambda: started.append(asyncio.ensure_future(supervise())))
    reactor.run(installSignalHandlers=False)
    return status


def hard_exit(status: int) -> NoReturn:
    """Ends the process at once. A normal exit would wait for threads that hang in a hypervisor's library."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the disk is full
            stream.flush()
    os._exit(status)


async def _outcome(task: asyncio.Task[None], when_interrupted: int) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _interrupt, task)
    try:
        await task
    except asyncio.CancelledError:
        return when_interrupted
    except InnkeeperError as error:
        _print_error(str(error))
        return MISCONFIGURED if isinstance(error, BadSettings) else FAILED
    except OSError as error:
        if error.errno not in DISK_FULL_ERRNOS:
            log.exception("daemon_failed")
            return FAILED
        _print_error(f"Cannot write {error.filename}: the disk is full. Free space on it, then restart.")
        return FAILED
    except Exception:  # a bug; the service manager restarts the daemon
        log.exception("daemon_failed")
        return FAILED
    return OK


def _print_error(text: str) -> None:
    """Prints for a person or the journal. If standard error cannot be written, only the exit status remains."""
    with suppress(OSError):
        print(text, file=sys.stderr)  # noqa: T201  # see above


def _interrupt(task: asyncio.Task[None]) -> None:
    """Cancels the task and ignores later signals: a second cancellation would interrupt the shutdown.

    The task that shuts down no longer counts as cancelled: in a cancelled one, an asyncio.timeout that expires raises
    CancelledError instead of TimeoutError before Python 3.11.3 (CPython's gh-102780), and what follows is skipped.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: None)
    task.cancel()
    loop.call_soon(task.uncancel)  # once it has got its CancelledError


async def _cancel_other_tasks() -> None:
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _limit_exit_time(status: int) -> None:
    """Twisted waits for its threads on exit, and a DNS lookup in one can take long."""
    timer = threading.Timer(EXIT_DEADLINE_S, hard_exit, [status])
    timer.daemon = True
    timer.start()
