"""Runs a part of a command in a child process, as another user; the parent keeps its rights."""

from __future__ import annotations

import json
import os
import pwd
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from common.errors import NotFound
from common.process import daemon

Work = Callable[[], Coroutine[Any, Any, Any]]
_STOPS = (signal.SIGTERM,)


class ChildFailed(Exception):
    """The child has printed why it failed. `status`: its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


@frozen(kw_only=True)
class Children:
    """`begin` runs first in each child, such as to configure its log."""

    begin: Callable[[], None]

    def as_owner(self, folder: Path, work: Work) -> Any:
        """Returns the result of `work`, as JSON can have it, with the rights of the owner of the folder.

        Raises ChildFailed.
        """
        return _in_child(lambda: daemon.become_owner(folder), self.begin, work)

    def as_user(self, name: str | None, work: Work) -> Any:
        """The same with the rights of a user of this computer; None: of the current one. Raises NotFound, too."""
        if name is None:
            return _in_child(lambda: None, self.begin, work)
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            raise NotFound(f"There is no user {name} on this computer.") from None

        def become() -> None:
            os.initgroups(user.pw_name, user.pw_gid)
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            os.environ["HOME"] = user.pw_dir
            os.chdir("/")

        return _in_child(become, self.begin, work)


@contextmanager
def stopped_in_order() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt in the block, so that its ends run. While a child runs, it ends the child."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _in_child(become: Callable[[], None], begin: Callable[[], None], work: Work) -> Any:
    """Raises ChildFailed. A signal to the parent ends the child first."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    # Until both are prepared for it: otherwise the parent would end without its child, and without its blocks.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = daemon.FAILED
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
            become()
            status = _run(begin, work, writing)
        except BaseException:  # noqa: BLE001  # nothing of the parent's may run here, such as the end of its blocks
            traceback.print_exc()
        finally:
            daemon.hard_exit(status)
    os.close(writing)
    before = signal.signal(signal.SIGTERM, lambda *_: _stop(child))
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        with os.fdopen(reading, "rb") as pipe:
            result = _read(pipe.read, child)
            status = os.waitstatus_to_exitcode(_read(lambda: os.waitpid(child, 0), child)[1])
    finally:
        signal.signal(signal.SIGTERM, before)
    if status != daemon.OK:
        raise ChildFailed(status if status > 0 else daemon.FAILED)
    return json.loads(result)


def _read(read: Callable[[], Any], child: int) -> Any:
    while True:
        try:
            return read()
        except KeyboardInterrupt:  # the terminal has sent it to the child, too
            _stop(child)


def _stop(child: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGTERM)


def _run(begin: Callable[[], None], work: Work, writing: int) -> int:
    begin()
    daemon.install_reactor()

    async def reported() -> None:
        result = json.dumps(await work()).encode()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(result)

    return daemon.run(reported(), when_interrupted=daemon.FAILED)
