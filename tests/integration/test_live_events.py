"""The page of the events is live for everybody who reads them there."""

from __future__ import annotations

from regiond.caller import Caller
from tests.browser.fleet import PASSWORD
from tests.deployment.deployment import Deployment
from tests.integration.tables import rows, sql
from tests.waiting import eventually


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
