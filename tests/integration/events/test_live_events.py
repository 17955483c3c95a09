"""The page of the events is live for everybody who reads them there."""

from __future__ import annotations

from functools import partial

import pytest

from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller
from tests.browser.support.fleet import PASSWORD
from tests.deployment.deployment import Deployment
from tests.integration.machines.test_ownership_matrix import becomes, callers
from tests.integration.support.tables import rows, sql
from tests.integration.support.two_pools import NATIVE, Role, two_pools
from tests.support.waiting import eventually


async def test_a_composer_learns_of_events_of_its_vm(innkeeper: Deployment) -> None:
    """Also without a role in the VM's resource pool, as long as nobody else has allocated the VM."""
    host = await innkeeper.add_simulated("alder")
    machine = await innkeeper.compose(host["id"], hostname="web-1")
    await innkeeper.post("users/", username="ann", password=PASSWORD, is_superuser="false")
    ((ann_id,),) = await rows(innkeeper, "select id from account where username = 'ann'")
    ann = Caller(account_id=ann_id, username="ann", is_admin=False)
    assert await sql(innkeeper, "update machine set composed_by_id = $1, owner_id = null returning id", ann.account_id)
    changes, events = innkeeper.region.components.changes, innkeeper.region.components.services.events
    position = changes.position
    async with innkeeper.region.components.database.transaction() as db:
        await events.record(db, "machine_changed", "web-1 was changed by another", system_id=machine["system_id"])
    newest, *_ = await events.list(caller=ann)
    assert newest.message == "web-1 was changed by another"
    await eventually(lambda: "events" in changes.since(position, ann).topics)


@pytest.mark.parametrize("whose", ["in use, made by olga", "in use, adopted", "olga's"])
async def test_nobody_of_another_pool_learns_of_a_vm_in_use(innkeeper: Deployment, whose: str) -> None:
    pools = await two_pools(innkeeper)
    system_id, users = pools.contents[NATIVE].system_id, await callers(innkeeper)
    await becomes(innkeeper, system_id, "in use, made by emil", MachineState.READY)
    changes, events = innkeeper.region.components.changes, innkeeper.region.components.services.events
    mine = changes.position
    await innkeeper.post(f"machines/{system_id}/", op="lock")
    await eventually(lambda: f"vm-{system_id}" in changes.since(mine, users[Role.ELSEWHERE]).topics)
    await becomes(innkeeper, system_id, whose, MachineState.READY)
    position = changes.position

    def is_notified(role: Role) -> bool:
        return f"vm-{system_id}" in changes.since(position, users[role]).topics

    await innkeeper.post(f"machines/{system_id}/", op="unlock")
    for role in (Role.VIEWER, Role.OPERATOR, Role.COLLEAGUE, Role.ADMIN):
        await eventually(partial(is_notified, role))
        assert "unlocked" in (await events.list(caller=users[role]))[0].message
    assert {f"vm-{system_id}", "events"}.isdisjoint(changes.since(position, users[Role.ELSEWHERE]).topics)
    assert [one for one in await events.list(caller=users[Role.ELSEWHERE]) if one.system_id == system_id] == []
