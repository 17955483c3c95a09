"""Which older commands another attempt waits for, and on which racks."""

from __future__ import annotations

import pytest
from attrs import evolve

from rackd.drivers.simulated.fault_injection import Call
from rackd.settings import RackSettings
from regiond.operations.model import WAIT_FOR_COMMAND, WAIT_FOR_EARLIER
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import InProcess
from tests.deployment.runner import RACK as FIRST
from tests.integration.operations.test_abandoned_operations import CHANGES
from tests.integration.operations.test_superseded import (
    FIRST_STEP,
    REQUESTS,
    at_step,
    begin,
    begin_deployment,
    composed,
    is_clean,
    lapse,
    make_old,
    retry,
    waits_because,
)
from tests.postgresql.database import fetchval
from tests.support.clock import in_no_time
from tests.support.waiting import eventually

_REPORTED = "select link_idle_timeout_s from rack where name = $1"


@pytest.mark.parametrize(
    ("action", "held", "step"),
    [("release", "empty root disk", "empty_root_disk"), ("delete", "remove guest", "remove_guest")],
)
async def test_another_attempt_waits_for_the_command_of_the_first(
    innkeeper: Deployment, action: str, held: Call, step: str
) -> None:
    path = await composed(innkeeper)
    database = innkeeper.region.components.database
    assert await innkeeper.ended(await innkeeper.begin(path, op="deploy")) == "succeeded"
    with innkeeper.held(held):
        operation = await begin(innkeeper, path, step, **REQUESTS[action])
        await lapse(innkeeper, operation)
        assert await eventually(lambda: fetchval(database, FIRST_STEP, operation, 2)) == WAIT_FOR_COMMAND
        reason = (await innkeeper.get(f"operations/{operation}/"))["wait_reason"]
        assert reason == "It waits until the last command of its earlier attempt has ended."
    assert await innkeeper.ended(operation) == "succeeded"
    if action == "release":
        await is_clean(innkeeper, path)
    else:
        assert innkeeper.simulated_guests() == []


@pytest.mark.parametrize("action", [*REQUESTS, "deploy"])
async def test_a_request_waits_for_the_command_of_a_cancelled_release(innkeeper: Deployment, action: str) -> None:
    path = await composed(innkeeper)
    assert await innkeeper.ended(await innkeeper.begin(path, op="deploy")) == "succeeded"
    with innkeeper.held("empty root disk"):
        cancelled = await begin(innkeeper, path, "empty_root_disk", op="release")
        await innkeeper.post(f"operations/{cancelled}/", op="cancel")
        assert await innkeeper.ended(cancelled) == "cancelled"
        operation = await innkeeper.begin(path, **REQUESTS.get(action, {"op": action}))
        await at_step(innkeeper, operation, WAIT_FOR_EARLIER)
        reason = (await innkeeper.get(f"operations/{operation}/"))["wait_reason"]
        assert reason == f"It waits until the last command of operation {cancelled}, which did not succeed, has ended."
    assert await innkeeper.ended(operation) == "succeeded"


@pytest.mark.parametrize("change", CHANGES)
async def test_the_undoing_of_a_change_of_hardware_waits_for_its_command(innkeeper: Deployment, change: str) -> None:
    """Else the command that still runs on the host could make the change after it was undone."""
    path = await composed(innkeeper)
    request, held = CHANGES[change]
    with innkeeper.held(held):
        operation = await innkeeper.begin(path, **request)
        await eventually(innkeeper.simulated().is_holding)
        await innkeeper.post(f"operations/{operation}/", op="cancel")
        await at_step(innkeeper, operation, WAIT_FOR_COMMAND)
    assert await innkeeper.ended(operation) == "cancelled"


async def test_a_deployment_waits_for_the_command_of_a_cancelled_deletion(innkeeper: Deployment) -> None:
    """Which removes the guest: the deployment fails, and finds none. Before, it could lose its own guest."""
    path = await composed(innkeeper)
    with innkeeper.held("remove guest"):
        cancelled = await begin(innkeeper, path, "remove_guest", **REQUESTS["delete"])
        await innkeeper.post(f"operations/{cancelled}/", op="cancel")
        assert await innkeeper.ended(cancelled) == "cancelled"
        deployment = await innkeeper.begin(path, op="deploy")
        await at_step(innkeeper, deployment, WAIT_FOR_EARLIER)
    assert await innkeeper.ended(deployment) == "failed"


@pytest.mark.slow
async def test_a_rack_is_waited_for_as_long_as_it_keeps_its_links(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_of = InProcess.rack_settings

    def rack_settings(runner: InProcess, name: str = FIRST) -> RackSettings:
        return evolve(settings_of(runner, name), link_idle_timeout_s=300.0)

    await innkeeper.stop_rack(FIRST)
    monkeypatch.setattr(InProcess, "rack_settings", rack_settings)
    await innkeeper.start_rack(FIRST)
    path = await composed(innkeeper)
    assert await fetchval(innkeeper.region.components.database, _REPORTED, FIRST) == 300.0
    with innkeeper.held("copy image"):
        await begin_deployment(innkeeper, path, "copy_image")
        await in_no_time(innkeeper.stop_rack(FIRST))
        operation = await innkeeper.begin(path, op="release")
        await waits_because(innkeeper, operation, "It is waited for at most 315 s.")
        await make_old(innkeeper, operation)
        await retry(innkeeper, operation)
        assert await innkeeper.ended(operation) == "succeeded"
