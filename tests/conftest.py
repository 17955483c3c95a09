"""Runs async tests as asyncio tasks under the Twisted reactor; a test that leaves a task running fails."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import structlog
from twisted.internet.defer import Deferred

import tests.support.clock  # noqa: F401 - replaces `time.monotonic`
from tests.support.waiting import settle

if TYPE_CHECKING:
    from tests.deployment.deployment import Deployment

pytest_plugins = ["tests.postgresql.database", "tests.support.cheap_cryptography"]

# Far above what any test takes on a busy machine, also one that boots guests: it finds only what hangs, apart from the
# conditions that it waits for (`tests/support/waiting.py`).
TEST_DEADLINE_S = 1800.0
ENDS_WITHIN_S = 10.0  # tasks of Playwright
OWN_FOLDER = pytest.StashKey[str]()

# `ci` bounds each property; the area `properties` (`deep`) and --hypothesis-profile=long search for what it misses. The
# deadline of an example is far above its time on a busy machine: it finds only what hangs.
hypothesis.settings.register_profile(
    "ci", max_examples=50, deadline=timedelta(seconds=20), suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("deep", hypothesis.settings.get_profile("ci"), max_examples=1_000)
hypothesis.settings.register_profile("long", hypothesis.settings.get_profile("ci"), max_examples=20_000)
hypothesis.settings.load_profile("ci")


# By default structlog renders an exception with the values of all variables, which can take seconds.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def _in_task(
    test: Callable[..., Coroutine[Any, Any, None]], deadline_s: float, *args: Any, **kwargs: Any
) -> Deferred[None]:
    from twisted.internet import reactor  # not before pytest has installed its reactor

    async def bounded() -> None:
        task = asyncio.current_task()
        assert task is not None
        limit = reactor.callLater(deadline_s, task.cancel)  # a clock that no test moves
        try:
            await test(*args, **kwargs)
        except asyncio.CancelledError as error:
            if limit.active():
                raise
            raise TimeoutError(f"the test has not ended within {deadline_s} s") from error
        finally:
            if limit.active():
                limit.cancel()

    return Deferred.fromFuture(asyncio.ensure_future(bounded()))


@pytest.hookimpl(tryfirst=True)  # before pytest's own plugin reads `basetemp`
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "deadline(seconds): another limit than `TEST_DEADLINE_S`, for a test of chosen length"
    )
    if config.option.basetemp is None:
        # By default, each start of pytest sets the folder that all runs of a user share to mode 0700. That shuts out
        # the PostgreSQL of a parallel run, which is not root and has its data below that folder.
        config.option.basetemp = tempfile.mkdtemp(prefix="innkeeper-tests-", dir=os.environ.get("TESTS_FOLDER"))
        config.stash[OWN_FOLDER] = config.option.basetemp


@pytest.hookimpl(trylast=True)  # after the fixtures of the session are torn down
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Removes the temporary folder of a run that passed; that of one that failed is for the reader."""
    folder = session.config.stash.get(OWN_FOLDER, None)
    if folder and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)  # before `-m` reads the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        test = getattr(item, "obj", None)
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(test):
            longer = item.get_closest_marker("deadline")
            deadline_s = longer.args[0] if longer else TEST_DEADLINE_S
            item.obj = functools.wraps(test)(functools.partial(_in_task, test, deadline_s))


def _is_of_playwright(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "/playwright/" in code.co_filename


def _description(task: asyncio.Task[Any]) -> str:
    """The coroutine, and the line at which it waits."""
    frames = task.get_stack(limit=1)
    where = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
    return f"{task.get_coro()!r}{where}"


@pytest.fixture(autouse=True)
def no_task_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a task running. Fixtures of the session, such as a browser, have theirs.

    Playwright has tasks that nobody awaits: one waits for the driver's answer to the last change of its subscriptions,
    another was cancelled with the wait that it belonged to. These may end first.
    """

    in_browser = "chromium" in request.fixturenames
    loop = asyncio.get_event_loop()
    before = asyncio.all_tasks(loop)
    yield

    async def leftovers() -> list[str]:
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if ending := {task for task in left if in_browser and (task.cancelling() or _is_of_playwright(task))}:
            left -= (await asyncio.wait(ending, timeout=ENDS_WITHIN_S))[0]
        described = [_description(task) for task in left]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return described

    if asyncio.all_tasks(loop) - before:
        left = settle(leftovers())
        assert not left, f"tasks left running: {left}"


@pytest.fixture
def rackless(tmp_path: Path, database_url: str, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A region without a rack, in this process; the ledger is checked after the test.

    Its racks have the drivers of `lxds` if the test requests that fixture. It refreshes hosts on request only, unless
    the test is marked `scheduled_refreshes` or has real hosts; `Deployment.refresh_due` runs what is due. Otherwise
    each host is refreshed once more some seconds after it was added, which on a busy machine comes between any two
    steps of a test. This is not so for a region that the test starts by itself: `restart`, `second_region`.
    """
    from tests.deployment.in_process import deployed  # not before pytest has installed its reactor

    drivers = request.getfixturevalue("lxds").drivers if "lxds" in request.fixturenames else None
    deployment = deployed(tmp_path, database_url, drivers=drivers)
    started = settle(deployment.__aenter__())
    if not any(request.node.get_closest_marker(name) for name in ("scheduled_refreshes", "lab")):
        settle(started.region.components.schedule.stop())
    yield started
    settle(deployment.__aexit__(None, None, None))


@pytest.fixture
def innkeeper(rackless: Deployment) -> Deployment:
    """A region and its rack `rack`, in this process; the ledger is checked after the test."""
    settle(rackless.start_rack())
    return rackless
