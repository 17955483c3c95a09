"""A rack that does not answer may still create the VM of a compose that was undone: that is shown until it is known."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from common.words.operation_kinds import OperationKind
from regiond.machines.leaving.removal.cleanup import PENDING_S
from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK as FROZEN
from tests.postgresql.database import execute, fetchval
from tests.support.clock import in_no_time
from tests.support.waiting import eventually

OTHER = "other"
_CLEAN_UP = "select id from operation where kind = 'clean_up'"
_AGE = "update operation set created_at = created_at - $2::interval, not_before = now() where id = $1"


async def cancelled_compose(innkeeper: Deployment) -> dict[str, Any]:
    """A compose of `late` that was undone through another rack than the one that it had called, which is gone.

    The caller holds the calls that define guests.
    """
    host = await innkeeper.add_simulated()
    operation = await innkeeper.begin_compose(host["id"], cores=1, memory=1024, hostname="late")
    await eventually(innkeeper.simulated().volume_names)
    await in_no_time(innkeeper.stop_rack(FROZEN))
    await innkeeper.post(f"operations/{operation}/", op="cancel")
    await innkeeper.start_rack(OTHER)
    assert await innkeeper.ended(operation) == "cancelled"
    found: dict[str, Any] = await innkeeper.get(f"operations/{operation}/")
    return found


async def clean_up_of(innkeeper: Deployment) -> int:
    found: int = await fetchval(innkeeper.region.components.database, _CLEAN_UP)
    return found


async def waiting(innkeeper: Deployment, operation_id: int) -> Any:
    operation = await innkeeper.get(f"operations/{operation_id}/")
    return operation if operation["state"] == "waiting" else None


@pytest.mark.slow
async def test_a_vm_that_may_still_appear_is_pending_until_its_rack_answers(innkeeper: Deployment) -> None:
    with innkeeper.held("define guest"):
        compose = await cancelled_compose(innkeeper)
        assert compose["undone"][1] == "Rack rack may still create late: it is removed then"
        clean_up = await clean_up_of(innkeeper)
        (event,) = [
            one for one in await innkeeper.region.components.services.events.list() if one.kind == "compose_failed"
        ]
        assert event.message.endswith(f"Rack rack may still create it: operation {clean_up} removes it then.")
        pending = await eventually(partial(waiting, innkeeper, clean_up))
        assert (
            f"Rack rack may still create late: its call for operation {compose['id']} is not known"
            in pending["wait_reason"]
        )
        assert pending["host_name"] == compose["host_name"] == "sim"
    await innkeeper.start_rack(FROZEN)
    assert await innkeeper.ended(clean_up) == "succeeded"


@pytest.mark.slow
async def test_a_rack_that_never_answers_is_not_waited_for_without_limit(innkeeper: Deployment) -> None:
    with innkeeper.held("define guest"):
        await cancelled_compose(innkeeper)
        clean_up = await clean_up_of(innkeeper)
        await eventually(partial(waiting, innkeeper, clean_up))
        age = timedelta(seconds=PENDING_S + 1)
        await execute(innkeeper.region.components.database, _AGE, clean_up, age)
        innkeeper.region.components.engine.wake()
        assert await innkeeper.ended(clean_up) == "succeeded"


async def test_a_compose_that_every_rack_has_ended_leaves_nothing_pending(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("define guest"):
        operation = await innkeeper.begin_compose(host["id"], cores=1, memory=1024, hostname="late")
        await eventually(innkeeper.simulated().volume_names)
        await innkeeper.cancel(operation)
    assert await innkeeper.ended(operation) == "cancelled"
    kinds = {one["kind"] for one in await innkeeper.get("operations/")}
    assert OperationKind.CLEAN_UP.value not in kinds
