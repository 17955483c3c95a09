"""A release or deletion of a machine that is being deployed acts after the deployment's last command, on every rack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from common.errors import StaleAttempt
from common.guests.guest_spec import GuestSpec
from common.rpc.commands.host_commands import HOST_POWER, Fence, PowerCall
from common.rpc.session import IDLE_TIMEOUT_S
from common.serialization import from_dict
from common.values import DriverType, HostAccess, PowerAction
from rackd.drivers.simulated.fault_injection import Call
from regiond.operations.model import WAIT_FOR_COMMAND, WAIT_FOR_EARLIER
from regiond.racks.calls import older_calls
from regiond.racks.reach.link_supervisor import PROBE_EVERY_S
from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK as FIRST
from tests.integration.support.images import add_image
from tests.postgresql.database import execute, fetchval
from tests.support.clock import advance, in_no_time
from tests.support.waiting import eventually

SECOND = "second"  # reaches the host too
REQUESTS: Mapping[str, Mapping[str, Any]] = {"release": {"op": "release"}, "delete": {"method": "DELETE"}}
_AT_STEP = "select step = $2 from operation where id = $1"
FIRST_STEP = "select step from operation_log where operation_id = $1 and attempt = $2 order by id limit 1"
_LAPSE = "update operation set lease_owner = null, lease_until = null where id = $1"
_MAKE_DUE = "update operation set not_before = now() where id = $1"
_PREFER = "update rack_reach set reaches = (select name = $1 from rack where rack.id = rack_reach.rack_id)"


async def composed(innkeeper: Deployment) -> str:
    """The path of a ready machine on a host that two racks reach; the next operation uses the first one."""
    await add_image(innkeeper)
    await innkeeper.start_rack(SECOND)
    host = await innkeeper.add_simulated(cores=8, storage_gb=1000)
    made = await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="vm")
    await advance(PROBE_EVERY_S)
    database, supervisor = innkeeper.region.components.database, innkeeper.region.components.link_supervisor
    await eventually(lambda: fetchval(database, "select count(*) = 2 from rack_reach"))
    await supervisor.settled()
    await prefer(innkeeper, FIRST)
    return f"machines/{made['system_id']}/"


async def prefer(innkeeper: Deployment, rack: str) -> None:
    """The region uses this rack, as if a call through the other one had just failed."""
    await execute(innkeeper.region.components.database, _PREFER, rack)


async def at_step(innkeeper: Deployment, operation_id: int, step: str) -> None:
    await eventually(lambda: fetchval(innkeeper.region.components.database, _AT_STEP, operation_id, step))


async def lapse(innkeeper: Deployment, operation_id: int) -> None:
    """Another attempt begins now, while the first still waits for its command."""
    await execute(innkeeper.region.components.database, _LAPSE, operation_id)
    innkeeper.region.components.engine.wake()


async def retry(innkeeper: Deployment, operation_id: int) -> None:
    """The next attempt of an operation that waits begins now."""
    await execute(innkeeper.region.components.database, _MAKE_DUE, operation_id)
    innkeeper.region.components.engine.wake()


async def begin_deployment(innkeeper: Deployment, path: str, step: str) -> int:
    """Returns the operation when the first rack acts at this step; the next one uses the second rack."""
    return await begin(innkeeper, path, step, op="deploy")


async def begin(innkeeper: Deployment, path: str, step: str, **request: Any) -> int:
    """As `begin_deployment`, for any request."""
    operation = await innkeeper.begin(path, **request)
    await at_step(innkeeper, operation, step)
    (link,) = innkeeper.in_process.links(FIRST)
    await eventually(lambda: innkeeper.simulated().is_holding() and not link.is_idle)
    await prefer(innkeeper, SECOND)
    return operation


async def is_clean(innkeeper: Deployment, path: str) -> None:
    """The machine is Ready, and its guest off and empty."""
    machine = await innkeeper.get(path)
    assert (machine["status_name"], machine["owner"], machine["power_state"]) == ("Ready", None, "off")
    (guest,) = innkeeper.simulated().guests().values()
    assert (guest.power, innkeeper.simulated().image_of("vm")) == ("off", None)


@pytest.mark.parametrize(("held", "step"), [("copy image", "copy_image"), ("write root disk", "write_disk")])
@pytest.mark.parametrize("action", REQUESTS)
async def test_a_command_of_the_deployment_in_another_rack_ends_first(
    innkeeper: Deployment, action: str, held: Call, step: str
) -> None:
    path = await composed(innkeeper)
    with innkeeper.held(held):
        deployment = await begin_deployment(innkeeper, path, step)
        operation = await innkeeper.begin(path, **REQUESTS[action])  # answered at once
        assert await innkeeper.ended(deployment) == "cancelled"
        await at_step(innkeeper, operation, WAIT_FOR_EARLIER)
        reason = (await innkeeper.get(f"operations/{operation}/"))["wait_reason"]
        assert reason == (
            f"It waits until the last command of operation {deployment}, which did not succeed, has ended."
        )
    assert await innkeeper.ended(operation) == "succeeded"
    if action == "release":
        await is_clean(innkeeper, path)
    else:
        assert innkeeper.simulated_guests() == []


async def test_an_abort_too_acts_after_the_last_command(innkeeper: Deployment) -> None:
    path = await composed(innkeeper)
    with innkeeper.held("write root disk"):
        deployment = await begin_deployment(innkeeper, path, "write_disk")
        await innkeeper.post(path, op="abort")
        await at_step(innkeeper, deployment, WAIT_FOR_COMMAND)
        reason = (await innkeeper.get(f"operations/{deployment}/"))["wait_reason"]
        assert reason.endswith("Undoing waits until the last command of its earlier attempt has ended.")
    assert await innkeeper.ended(deployment) == "cancelled"
    assert (await innkeeper.get(path))["status_name"] == "Allocated"
    assert innkeeper.simulated().image_of("vm") is None


@pytest.mark.parametrize("action", REQUESTS)
async def test_a_release_after_a_cancelled_one_waits_too(innkeeper: Deployment, action: str) -> None:
    path = await composed(innkeeper)
    with innkeeper.held("write root disk"):
        deployment = await begin_deployment(innkeeper, path, "write_disk")
        cancelled = await innkeeper.begin(path, op="release")
        await at_step(innkeeper, cancelled, WAIT_FOR_EARLIER)
        await innkeeper.post(f"operations/{cancelled}/", op="cancel")
        assert await innkeeper.ended(cancelled) == "cancelled"
        assert (await innkeeper.get(path))["status_name"] == "Failed deployment"
        operation = await innkeeper.begin(path, **REQUESTS[action])
        await at_step(innkeeper, operation, WAIT_FOR_EARLIER)
        assert (await innkeeper.get(f"operations/{operation}/"))["wait_reason"].startswith(
            f"It waits until the last command of operation {deployment}"
        )
    assert await innkeeper.ended(operation) == "succeeded"


async def test_another_attempt_of_the_deployment_waits_as_well(innkeeper: Deployment) -> None:
    path = await composed(innkeeper)
    database = innkeeper.region.components.database
    with innkeeper.held("write root disk"):
        deployment = await begin_deployment(innkeeper, path, "write_disk")
        await lapse(innkeeper, deployment)
        assert await eventually(lambda: fetchval(database, FIRST_STEP, deployment, 2)) == WAIT_FOR_COMMAND
        reason = (await innkeeper.get(f"operations/{deployment}/"))["wait_reason"]
        assert reason == "It waits until the last command of its earlier attempt has ended."
    assert await innkeeper.ended(deployment) == "succeeded"


def ask_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The region asks racks for 0.2 s each time."""
    monkeypatch.setattr(older_calls, "LOST_RACK_MARGIN_S", 0.2 - IDLE_TIMEOUT_S)


async def test_an_abort_long_after_the_request_waits_as_well(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_briefly(monkeypatch)
    path = await composed(innkeeper)
    with innkeeper.held("write root disk"):
        deployment = await begin_deployment(innkeeper, path, "write_disk")
        await make_old(innkeeper, deployment)
        await innkeeper.post(path, op="abort")
        told = "Undoing waits: An earlier command to the machine still runs in rack rack."
        await waits_because(innkeeper, deployment, told, state="undoing")
    await retry(innkeeper, deployment)
    assert await innkeeper.ended(deployment) == "cancelled"
    assert innkeeper.simulated().image_of("vm") is None


async def test_a_late_abort_waits_for_a_rack_that_is_gone_as_well(innkeeper: Deployment) -> None:
    path = await composed(innkeeper)
    with innkeeper.held("copy image"):
        deployment = await begin_deployment(innkeeper, path, "copy_image")
        await make_old(innkeeper, deployment)
        await innkeeper.post(path, op="abort")
        await at_step(innkeeper, deployment, WAIT_FOR_COMMAND)
        await in_no_time(innkeeper.stop_rack(FIRST))
        told = "Undoing waits: An earlier command to the machine may still run in rack rack"
        await waits_because(innkeeper, deployment, told, state="undoing")
        await make_old(innkeeper, deployment)
        await retry(innkeeper, deployment)
        assert await innkeeper.ended(deployment) == "cancelled"


async def make_old(innkeeper: Deployment, operation_id: int) -> None:
    """As if it had been requested two hours ago, and come to its present step an hour ago."""
    database = innkeeper.region.components.database
    await execute(database, "update operation set created_at = now() - interval '2 hours' where id = $1", operation_id)
    log = "update operation_log set at = now() - interval '1 hour' where operation_id = $1"
    await execute(database, log, operation_id)


async def test_the_rack_that_still_acts_is_named(innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_briefly(monkeypatch)
    path = await composed(innkeeper)
    with innkeeper.held("write root disk"):
        await begin_deployment(innkeeper, path, "write_disk")
        operation = await innkeeper.begin(path, op="release")
        told = "It waits to be tried again: An earlier command to the machine still runs in rack rack."
        await waits_because(innkeeper, operation, told)
    await retry(innkeeper, operation)
    assert await innkeeper.ended(operation) == "succeeded"
    await is_clean(innkeeper, path)


async def test_a_start_that_comes_after_the_release_is_rejected(innkeeper: Deployment) -> None:
    path = await composed(innkeeper)
    with innkeeper.held("write root disk"):
        deployment = await begin_deployment(innkeeper, path, "write_disk")
        operation = await innkeeper.begin(path, op="release")
    assert await innkeeper.ended(operation) == "succeeded"
    (link,) = innkeeper.in_process.links(FIRST)
    with pytest.raises(StaleAttempt):
        await link.call(HOST_POWER, await late_start(innkeeper, deployment), deadline_s=30.0)
    await is_clean(innkeeper, path)


async def late_start(innkeeper: Deployment, deployment: int) -> PowerCall:
    """The start that the region had sent to the first rack before the release."""
    components = innkeeper.region.components
    operation = await components.services.operations.read(deployment)
    spec = from_dict(operation.request["spec"], GuestSpec)
    address = await fetchval(components.database, "select address from vm_host where id = $1", operation.host_id)
    access = HostAccess(
        host_id=operation.host_id or 0, driver=DriverType.SIMULATED, address=address,
        installation_id=spec.marker.installation_id,
    )  # fmt: skip
    fence = Fence(machine_id=str(spec.marker.machine_id), operation_id=deployment, attempt=operation.attempt)
    return PowerCall(access=access, guest=spec.ref, action=PowerAction.ON, grace_s=1.0, fence=fence)


async def test_a_rack_that_is_gone_delays_the_release_only_for_a_while(innkeeper: Deployment) -> None:
    path = await composed(innkeeper)
    with innkeeper.held("copy image"):
        await begin_deployment(innkeeper, path, "copy_image")
        await in_no_time(innkeeper.stop_rack(FIRST))
        operation = await innkeeper.begin(path, op="release")
        told = "An earlier command to the machine may still run in rack rack, which this region cannot ask."
        await waits_because(innkeeper, operation, told)
        await make_old(innkeeper, operation)
        await retry(innkeeper, operation)
        assert await innkeeper.ended(operation) == "succeeded"
        await is_clean(innkeeper, path)


async def test_a_rack_that_stays_stuck_is_not_waited_for_without_limit(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_briefly(monkeypatch)
    monkeypatch.setattr(older_calls, "MAX_CALL_S", 0.0)
    path = await composed(innkeeper)
    with innkeeper.held("copy image"):
        await begin_deployment(innkeeper, path, "copy_image")
        operation = await innkeeper.begin(path, op="release")
        assert await innkeeper.ended(operation) == "succeeded"
    log = await innkeeper.region.components.services.operations.log(operation)
    assert "an earlier command still runs; it is no longer waited for" in [line.message for line in log]


async def waits_because(innkeeper: Deployment, operation_id: int, reason: str, *, state: str = "waiting") -> None:
    async def waits() -> bool:
        operation = await innkeeper.get(f"operations/{operation_id}/")
        return operation["state"] == state and reason in operation["wait_reason"]

    await eventually(waits)
