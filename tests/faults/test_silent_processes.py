"""Processes that are not dead but stopped: others take over, and what wakes up too late does no harm."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regiond.db.pool import connect
from tests.faults.daemons import Daemons
from tests.waiting import eventually

HOST = "simulated:inn?cores=8&memory_mib=16384"
_LOG = "select attempt, step, message from operation_log where operation_id = $1 order by id"


def rows(daemons: Daemons, query: str) -> list[str]:
    """What the simulated host itself says."""
    with closing(sqlite3.connect(daemons.folder / "simulated" / "inn.sqlite", timeout=60)) as store:
        return sorted(row[0] for row in store.execute(query))


def held(daemons: Daemons, what: str) -> list[str]:
    """Names of the guests or volumes on the host."""
    return rows(daemons, f"select name from {what}")  # noqa: S608  # ours


def appeared(daemons: Daemons) -> list[str]:
    """Guests that were made there, those that are gone again too."""
    return rows(daemons, "select guest_name from change where event = 'appeared'")


async def log_of(daemons: Daemons, operation_id: int) -> list[tuple[Any, ...]]:
    db = await connect(daemons.dsn, application_name="test")
    try:
        return [tuple(row) for row in await db.fetch(_LOG, operation_id)]
    finally:
        await db.close()


@pytest.fixture
def daemons(daemons: Daemons) -> Daemons:
    """They give each other up sooner than people would want it, so that a test need not wait for it as long."""
    daemons.settings = {"link_silence_s": "6"}
    return daemons


async def begin(daemons: Daemons, stops: str) -> tuple[int, subprocess.Popen[bytes]]:
    """A compose that a thread of the rack is about, and the process `stops`, stopped before anything was made."""
    host_id = await daemons.add_host(type="simulated", power_address=HOST, name="inn")
    stopped = daemons.running[stops]
    with daemons.held("inn", "make volume"):
        operation_id = await daemons.begin_compose(host_id, cores=1, memory=1024, hostname="survivor")
        await eventually(lambda: daemons.has_begun("compose"))
        stopped.send_signal(signal.SIGSTOP)
        await eventually(lambda: " T " in Path(f"/proc/{stopped.pid}/stat").read_text())
    assert stops == "region" or held(daemons, "volume") == []
    return operation_id, stopped


@pytest.mark.deadline(240)
async def test_what_a_silent_rack_was_doing_is_done_by_another_and_once(daemons: Daemons) -> None:
    await daemons.start()
    operation_id, silent = await begin(daemons, "rack")
    await daemons.start_second_rack()
    assert await daemons.ended(operation_id, deadline_s=120.0) == "succeeded"
    silent.send_signal(signal.SIGCONT)
    rack_log = daemons.folder / "rack.log"
    await eventually(
        lambda: "region_lost" in rack_log.read_text(),
    )  # it is awake
    assert held(daemons, "guest") == ["survivor"]
    assert len(held(daemons, "volume")) == 1
    assert await daemons.ledger_faults() == []


@pytest.mark.deadline(240)
async def test_what_a_silent_rack_makes_after_the_cancel_is_found_and_removed(daemons: Daemons) -> None:
    await daemons.start()
    operation_id, silent = await begin(daemons, "rack")
    await daemons.start_second_rack()
    await daemons.api.send("POST", f"operations/{operation_id}/", query=[("op", "cancel")])
    assert await daemons.ended(operation_id, deadline_s=120.0) == "cancelled"
    assert held(daemons, "guest") == held(daemons, "volume") == []
    silent.send_signal(signal.SIGCONT)
    await eventually(lambda: appeared(daemons))  # the straggler knew nothing of it
    await eventually(lambda: not held(daemons, "guest") and not held(daemons, "volume"))
    assert await daemons.get("machines/") == []
    assert await daemons.ledger_faults() == []


@pytest.mark.deadline(240)
async def test_what_a_silent_region_was_doing_is_done_by_another_and_it_writes_nothing_more(daemons: Daemons) -> None:
    await daemons.start()
    operation_id, first = await begin(daemons, "region")
    await daemons.start_second_region()
    await daemons.start_second_rack()
    assert await daemons.ended(operation_id, deadline_s=120.0) == "succeeded"
    written = await log_of(daemons, operation_id)
    first.send_signal(signal.SIGCONT)
    region_log = daemons.folder / "region.log"
    await eventually(lambda: "lease_lost" in region_log.read_text())
    assert await log_of(daemons, operation_id) == written
    assert first.poll() is None
    assert held(daemons, "guest") == ["survivor"]
    assert len(held(daemons, "volume")) == 1
    assert await daemons.ledger_faults() == []
