"""A host whose removal fails after the racks have closed their connections to it is watched again."""

from __future__ import annotations

import asyncio

from regiond.racks.reach.link_supervisor import WATCH_EVERY_S
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import count, rows
from tests.support.clock import advance
from tests.support.waiting import eventually

_DISCONNECTED = "select from operation where kind = 'remove_host' and step = 'disconnect' and failures > 0"
_READY = "select from vm_host where state = 'ready'"


async def test_a_host_that_stays_after_all_is_watched_again(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    supervisor = innkeeper.region.components.link_supervisor
    await advance(WATCH_EVERY_S)
    await eventually(lambda: host["id"] in supervisor.watched)
    with innkeeper.held("create volume"):
        composing = asyncio.create_task(innkeeper.compose(host["id"], hostname="late"))
        await eventually(lambda: count(innkeeper, "machine"))
        answer = await innkeeper.send("DELETE", f"vm-hosts/{host['id']}/", headers=ASYNC)
        removal = int(answer.json()["id"])
        await eventually(lambda: rows(innkeeper, _DISCONNECTED))  # and waits for the compose
        assert host["id"] not in supervisor.watched, "the rack watches it no more"
        await innkeeper.post(f"operations/{removal}/", op="cancel")
        assert await innkeeper.ended(removal) == "cancelled"
    await composing
    await innkeeper.after_refreshes(lambda: rows(innkeeper, _READY))
    await advance(WATCH_EVERY_S)
    await eventually(lambda: host["id"] in supervisor.watched)
