"""Selects the tests of an area inside pytest, measures each, and writes a line for each result.

Options: `--area NAME`; `--results FILE`, to which a JSON line is appended for each phase of a test that matters;
`--passed FILE`, whose tests are not run again; `--cpu-limit SECONDS` for the call of one test; `--shuffle SEED`;
`--own-networks` of the workers.
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.tiers import worker_network
from tests.tiers.areas import AREAS, area_of, repeats

_SPENT = pytest.StashKey[float]()
HERE = Path(__file__).resolve().parents[2]
GC_THRESHOLD = 10_000  # objects; Python's own, 700, took a tenth of the time of the tests of a region


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tiers")
    group.addoption("--area", help="run the tests of this area only")
    group.addoption("--results", help="append a JSON line for each result to this file")
    group.addoption("--passed", help="do not run the tests that this file names, one a line")
    group.addoption("--cpu-limit", type=float, help="a test whose call takes more seconds of CPU time fails")
    group.addoption("--shuffle", type=int, help="run the tests in the random order of this seed")
    group.addoption("--own-networks", action="store_true", help="each worker has a network of its own; needs root")


@pytest.hookimpl(trylast=True)  # after conftest.py files have added their markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    area, passed = config.option.area, config.option.passed
    done = set(Path(passed).read_text().splitlines()) if passed else set()
    chosen = [item for item in items if item.nodeid not in done and (area is None or _is_in(item, area))]
    if len(chosen) < len(items):
        config.hook.pytest_deselected(items=list(set(items) - set(chosen)))
    if config.option.shuffle is not None:
        random.Random(config.option.shuffle).shuffle(chosen)  # noqa: S311  an order, not a secret
    items[:] = chosen


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Collecting makes a million objects that all stay: looking for garbage among them takes a tenth of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Keeps the garbage collector from examining thousands of collected tests, and lets it run less often."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def _is_in(item: pytest.Item, area: str) -> bool:
    markers = {mark.name for mark in item.iter_markers()}
    path = str(item.path.relative_to(HERE))
    callspec = getattr(item, "callspec", None)
    found = area_of(path, markers, "" if callspec is None else str(callspec.id))
    if not path.startswith(AREAS[found].paths):
        raise pytest.UsageError(f"{item.nodeid} belongs to the area {found}, which never collects this file")
    repeated = repeats(area, found, markers)
    return found == area if repeated is None else repeated


def _cpu_s() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    before = _cpu_s()
    try:
        return (yield)
    finally:
        item.stash[_SPENT] = _cpu_s() - before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    limit, spent = item.config.option.cpu_limit, item.stash.get(_SPENT, 0.0)
    if call.when == "call":
        report.user_properties.append(("cpu_s", spent))
        if limit is not None and spent > limit and report.passed:
            report.outcome = "failed"
            report.longrepr = (
                f"{item.nodeid} took {spent:.1f} s of CPU time; the first tier allows {limit:g} s. "
                "Make it cheaper, or mark it `slow`."
            )
    return report


class Results:
    """Runs in the process that a person started, which receives the reports of all workers."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", buffering=1)  # noqa: SIM115  closed at the end of the session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
            line = {
                "test": report.nodeid, "when": report.when, "outcome": report.outcome, "seconds": report.duration,
                "cpu_s": dict(report.user_properties).get("cpu_s", 0.0), "reason": reason.removeprefix("Skipped: "),
                "output": report.longreprtext if report.failed else "",
            }  # fmt: skip
        else:
            line = {"test": report.nodeid, "when": report.when, "outcome": "phase", "seconds": report.duration}
        self._file.write(json.dumps(line) + "\n")

    def pytest_sessionfinish(self) -> None:
        self._file.close()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        _stay_on_one_core(config.workerinput["workerid"])
        if config.option.own_networks:
            worker_network.enter()
    elif config.option.results:
        config.pluginmanager.register(Results(config.option.results), "innkeeper-results")


def _stay_on_one_core(worker: str) -> None:
    """Keeps this worker and all that it starts on one core, in turn.

    A test and its PostgreSQL take turns: on an idle machine, to wake the other one on another core takes a quarter of
    the time of a test, and on a busy one a tenth.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
