"""Processes that are not dead but stopped: others take over, and what wakes up too late does no harm."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from regiond.db.pool import connect
from tests.faults.daemons import Daemons
from tests.waiting import eventually

SLOW = "simulated:slow?cores=8&memory_mib=16384&delay_ms=1500"  # longer than it takes to stop somebody
_LOG = "select attempt, step, message from operation_log where operation_id = $1 order by id"


def held(daemons: Daemons, what: str) -> list[str]:
    """Names of the guests or volumes on the simulated host."""
    with closing(sqlite3.connect(daemons.folder / "simulated" / "slow.sqlite")) as store:
        return sorted(row[0] for row in store.execute(f"select name from {what}"))  # noqa: S608  # ours


async def log_of(daemons: Daemons, operation_id: int) -> list[tuple[Any, ...]]:
    db = await connect(daemons.dsn, application_name="test")
    try:
        return [tuple(row) for row in await db.fetch(_LOG, operation_id)]
    finally:
        await db.close()


async def begin(daemons: Daemons) -> int:
    """A compose that a thread of the rack is about: it takes three calls of the slow host, and nothing is made yet."""
    host_id = await daemons.add_host(type="simulated", power_address=SLOW, name="slow")
    operation_id = await daemons.begin_compose(host_id, cores=1, memory=1024, hostname="survivor")
    rack_log = daemons.folder / "rack.log"
    await eventually(lambda: '"what": "compose"' in rack_log.read_text(), every_s=0.01)
    assert held(daemons, "volume") == []
    return operation_id


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.deadline(240)
async def test_what_a_silent_rack_was_doing_is_done_by_another_and_once(daemons: Daemons) -> None:
    await daemons.start()
    operation_id = await begin(daemons)
    with stopped(daemons.running["rack"].pid):
        await daemons.start_second_rack()
        assert await daemons.ended(operation_id, deadline_s=120.0) == "succeeded"
    rack_log = daemons.folder / "rack.log"
    await eventually(lambda: "region_lost" in rack_log.read_text(), deadline_s=30.0)  # it is awake
    assert held(daemons, "guest") == ["survivor"]
    assert len(held(daemons, "volume")) == 1
    assert await daemons.ledger_faults() == []


@pytest.mark.deadline(240)
async def test_what_a_silent_rack_makes_after_the_cancel_is_found_and_removed(daemons: Daemons) -> None:
    await daemons.start()
    operation_id = await begin(daemons)
    with stopped(daemons.running["rack"].pid):
        await daemons.start_second_rack()
        await daemons.api.send("POST", f"operations/{operation_id}/", query=[("op", "cancel")])
        assert await daemons.ended(operation_id, deadline_s=120.0) == "cancelled"
        assert held(daemons, "guest") == held(daemons, "volume") == []
    await eventually(lambda: held(daemons, "guest"), deadline_s=30.0)  # the straggler knew nothing of it
    await eventually(lambda: not held(daemons, "guest") and not held(daemons, "volume"), deadline_s=60.0)
    assert await daemons.get("machines/") == []
    assert await daemons.ledger_faults() == []


@pytest.mark.deadline(240)
async def test_what_a_silent_region_was_doing_is_done_by_another_and_it_writes_nothing_more(daemons: Daemons) -> None:
    await daemons.start()
    operation_id = await begin(daemons)
    first = daemons.running["region"]
    with stopped(first.pid):
        await daemons.start_second_region()
        await daemons.start_second_rack()
        assert await daemons.ended(operation_id, deadline_s=120.0) == "succeeded"
        written = await log_of(daemons, operation_id)
    region_log = daemons.folder / "region.log"
    await eventually(lambda: "lease_lost" in region_log.read_text(), deadline_s=60.0)
    assert await log_of(daemons, operation_id) == written
    assert first.poll() is None
    assert held(daemons, "guest") == ["survivor"]
    assert len(held(daemons, "volume")) == 1
    assert await daemons.ledger_faults() == []
