"""Processes that are stopped, not dead: others take over, and a process that wakes up late does no harm."""

from __future__ import annotations

import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK, REGION
from tests.deployment.simulated_host import SimulatedHost
from tests.support.waiting import eventually

HOST = "sim"
ADDRESS = f"simulated:{HOST}?cores=8&memory_mib=16384"
LOG = "select attempt, step, message from operation_log where operation_id = $1 order by id"


@pytest.fixture
def deployment(deployment: Deployment) -> Deployment:
    """Links end after a shorter silence than by default, so that the tests take less time."""
    deployment.processes.settings = {"link_idle_timeout_s": "6"}
    return deployment


@pytest.fixture
def host(deployment: Deployment) -> SimulatedHost:
    return deployment.simulated(HOST)


async def begin(deployment: Deployment, stopped: str) -> tuple[int, subprocess.Popen[bytes]]:
    """Starts a deployment. Returns a compose that the rack has begun, and the process that was stopped meanwhile.

    If the rack was stopped, it has created nothing.
    """
    await deployment.start()
    host_id = await deployment.add_host(type="simulated", power_address=ADDRESS, name=HOST)
    process = deployment.processes.running[stopped]
    with deployment.held("create volume", name=HOST):
        operation_id = await deployment.begin_compose(host_id, cores=1, memory=1024, hostname="survivor")
        await eventually(lambda: deployment.processes.has_begun("compose"))
        process.send_signal(signal.SIGSTOP)
        await eventually(lambda: " T " in Path(f"/proc/{process.pid}/stat").read_text())
    assert stopped == REGION or deployment.simulated(HOST).volume_names() == []
    return operation_id, process


async def waits_because(deployment: Deployment, operation_id: int, reason: str) -> bool:
    operation = await deployment.get(f"operations/{operation_id}/")
    return reason in (operation["wait_reason"] or "")


async def assert_one_survivor(deployment: Deployment, host: SimulatedHost) -> None:
    assert host.guest_names() == ["survivor"]
    assert len(host.volume_names()) == 1
    assert await deployment.ledger_problems() == []


async def test_another_rack_finishes_once_what_a_silent_rack_began(deployment: Deployment, host: SimulatedHost) -> None:
    operation_id, silent = await begin(deployment, RACK)
    await deployment.start_rack("second")
    assert await deployment.ended(operation_id, deadline_s=120.0) == "succeeded"
    silent.send_signal(signal.SIGCONT)
    rack_log = deployment.processes.log(RACK)
    await eventually(lambda: "region_link_lost" in rack_log.read_text())  # it runs again
    await assert_one_survivor(deployment, host)


async def test_what_a_silent_rack_creates_after_a_cancel_is_removed(
    deployment: Deployment, host: SimulatedHost
) -> None:
    operation_id, silent = await begin(deployment, RACK)
    # Before there is another rack, which would complete the compose as soon as the region misses the silent one.
    await deployment.send("POST", f"operations/{operation_id}/", op="cancel")
    await deployment.start_rack("second")
    assert await deployment.ended(operation_id, deadline_s=120.0) == "cancelled"
    assert host.guest_names() == host.volume_names() == []
    assert (await deployment.get(f"operations/{operation_id}/"))["undone"][1] == (
        f"Rack {RACK} may still create survivor: it is removed then"
    )
    (pending,) = [one for one in await deployment.get("operations/") if one["kind"] == "clean_up"]
    # Before, it waits for the last command of the compose, which has its own reason.
    await eventually(partial(waits_because, deployment, pending["id"], f"Rack {RACK} may still create survivor"))
    silent.send_signal(signal.SIGCONT)
    await eventually(host.names_that_appeared)  # the stale call did not know of the cancel
    assert await deployment.ended(pending["id"], deadline_s=120.0) == "succeeded"
    await eventually(lambda: not host.guest_names() and not host.volume_names())
    assert await deployment.get("machines/") == []
    assert await deployment.ledger_problems() == []


async def test_a_silent_region_is_replaced_and_writes_nothing_later(
    deployment: Deployment, host: SimulatedHost
) -> None:
    operation_id, first = await begin(deployment, REGION)
    await deployment.processes.start_second_region()
    await deployment.start_rack("second")
    assert await deployment.ended(operation_id, deadline_s=120.0) == "succeeded"
    written = await deployment.fetch(LOG, operation_id)
    first.send_signal(signal.SIGCONT)
    region_log = deployment.processes.log(REGION)
    await eventually(lambda: "lease_lost" in region_log.read_text())
    assert await deployment.fetch(LOG, operation_id) == written
    assert first.poll() is None
    await assert_one_survivor(deployment, host)
