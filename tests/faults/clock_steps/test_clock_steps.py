"""The clock of region, rack or database is set by an hour: nothing is done twice, and nothing expires unannounced."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import ENDED, Deployment
from tests.deployment.runner import POSTGRES, RACK, REGION
from tests.faults.clock_steps.clock_observations import HOUR_S, PASSWORD, USER, Observed
from tests.faults.clock_steps.clocks import ClockedProcesses, why_no_faketime
from tests.support.waiting import eventually, settle

HOST = "sim"
STEPS = list(product((REGION, RACK, POSTGRES), (HOUR_S, -HOUR_S)))
_STATE = "select state::text as state, attempt from operation where id = $1"
_OPEN = "select id, kind, state from operation where is_open or lease_owner is not null"
_NOW = "select extract(epoch from clock_timestamp())::float8 as at"
_EVENTS = "select id from event where kind = $1 order by id"
_ANNOUNCED = {POSTGRES: "database_clock_set", REGION: "clock_skewed"}  # a rack's clock matters to its certificate only


@pytest.fixture(scope="module")
def innkeeper(tmp_path_factory: pytest.TempPathFactory, module_server_folder: Path) -> Iterator[Deployment]:
    """One for all steps, each of which is taken back."""
    if (why := why_no_faketime()) is not None:
        pytest.skip(why)
    processes = ClockedProcesses(folder=tmp_path_factory.mktemp("clocks"), server_folder=module_server_folder)
    deployment = Deployment(runner=processes)
    try:
        settle(deployment.start())
        settle(deployment.post("users/", username=USER, password=PASSWORD, is_superuser="true"))
        settle(deployment.add_simulated(HOST, cores=8, memory_mib=16384))
        yield deployment
    finally:
        processes.kill_all()


def clocked(deployment: Deployment) -> ClockedProcesses:
    assert isinstance(deployment.runner, ClockedProcesses)
    return deployment.runner


async def nothing_open(deployment: Deployment) -> bool:
    return not await deployment.fetch(_OPEN)


async def is_announced(deployment: Deployment, daemon: str, before: int) -> bool:
    """Whether an event of this kind is newer than the `before` first ones."""
    kind = _ANNOUNCED.get(daemon)
    return kind is None or len(await deployment.fetch(_EVENTS, kind)) > before


@pytest.mark.deadline(300)
@pytest.mark.parametrize(("daemon", "step_s"), STEPS, ids=[f"{name}{step:+d}" for name, step in STEPS])
async def test_a_compose_survives_a_clock_that_is_set(innkeeper: Deployment, daemon: str, step_s: int) -> None:
    """The step comes while the host works on the compose, and is taken back after its end."""
    processes, host_id = clocked(innkeeper), innkeeper.hosts[HOST]
    name = f"{daemon}-{'later' if step_s > 0 else 'earlier'}"
    observed = await Observed.begin(innkeeper, daemon, step_s)
    known = len(await innkeeper.fetch(_EVENTS, _ANNOUNCED.get(daemon, "")))
    with innkeeper.held("create volume", name=HOST):
        operation_id = await innkeeper.begin_compose(host_id, cores=1, memory=1024, hostname=name)
        await eventually(innkeeper.simulated(HOST).is_holding)
        processes.set_clock(daemon, ahead_s=step_s)
        if daemon == POSTGRES:
            ((at,),) = await innkeeper.fetch(_NOW)
            assert abs(at - time.time() - step_s) < HOUR_S / 2
        await eventually(lambda: is_announced(innkeeper, daemon, known))
        await observed.while_wrong()

    async def state() -> str | None:  # not by the API, whose requests this test signs with the right time
        (row,) = await innkeeper.fetch(_STATE, operation_id)
        return row["state"] if row["state"] in ENDED else None

    try:
        assert await eventually(state) == "succeeded"
    finally:
        processes.set_clock(daemon, ahead_s=0)
    await eventually(innkeeper.is_linked)
    assert innkeeper.simulated_guests(HOST) == [name]
    assert innkeeper.simulated(HOST).count(name, "appeared") == 1
    await observed.when_right_again(operation_id)
    (machine,) = await innkeeper.get("machines/")
    await eventually(lambda: nothing_open(innkeeper))
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    assert innkeeper.simulated_guests(HOST) == innkeeper.simulated(HOST).volume_names() == []
    assert await innkeeper.ledger_problems() == []
    assert await innkeeper.discrepancies() == []


async def test_requests_with_the_right_time_name_the_region_s_clock(innkeeper: Deployment) -> None:
    processes = clocked(innkeeper)
    with processes.clock_ahead(REGION, HOUR_S), pytest.raises(InnkeeperError, match="Expired timestamp") as caught:
        await innkeeper.get("zones/")
    assert caught.value.details["status"] == 401
    assert await innkeeper.get("zones/")
