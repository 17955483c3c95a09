"""Operations of kinds that only a newer release has, while its regions and older ones work beside each other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.web_client import WebClient
from tests.support.rejections import rejection
from tests.support.waiting import eventually

__all__ = ["client"]

_OPENED = """
    insert into operation (kind, state, host_id, host_name, machine_id, system_id, hostname, request, max_failures)
    select 'swap_cpu', 'queued', h.id, h.name, m.id, m.system_id, m.hostname, '{"action": "on"}', 3
      from machine m join vm_host h on h.id = m.host_id where m.hostname = 'newer'
    returning id
"""


async def begun_by_newer(innkeeper: Deployment) -> tuple[Any, int]:
    """Returns a machine, and such an operation that acts on it."""
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="newer")
    ((operation_id,),) = await innkeeper.fetch(_OPENED)
    return await innkeeper.get(f"machines/{machine['system_id']}/"), operation_id


async def test_an_older_region_leaves_it_and_goes_on(innkeeper: Deployment) -> None:
    machine, operation_id = await begun_by_newer(innkeeper)
    other = await innkeeper.compose(machine["pod"]["id"], hostname="other", power_on="true")
    await eventually(lambda: is_on(innkeeper, other))
    await innkeeper.post(f"vm-hosts/{machine['pod']['id']}/", op="refresh")
    left = await innkeeper.fetch(f"select state, attempt from operation where id = {int(operation_id)}")  # noqa: S608
    assert [tuple(row) for row in left] == [("queued", 0)]
    refused = await rejection(innkeeper.post(f"machines/{machine['system_id']}/", op="power_on"))
    assert refused.message.startswith("Another operation acts on machine newer: operation ")


async def is_on(innkeeper: Deployment, machine: Any) -> bool:
    return bool((await innkeeper.get(f"machines/{machine['system_id']}/"))["power_state"] == "on")


@pytest.mark.slow
async def test_it_is_shown_in_words(innkeeper: Deployment, client: WebClient) -> None:
    machine, operation_id = await begun_by_newer(innkeeper)
    shown = await innkeeper.get(f"operations/{operation_id}/")
    assert (shown["kind"], shown["state"]) == ("swap_cpu", "queued")
    assert operation_id in [one["id"] for one in await innkeeper.get("operations/")]
    for path in ("tasks", f"tasks/{operation_id}", f"vms/{machine['system_id']}"):
        assert "Swap cpu of newer" in await page(client, path)
    for path in ("", "vms", "hosts", f"hosts/{machine['pod']['id']}"):
        await page(client, path)


async def test_it_is_cancelled_as_any_other(innkeeper: Deployment) -> None:
    _, operation_id = await begun_by_newer(innkeeper)
    await innkeeper.post(f"operations/{operation_id}/", op="cancel")
    assert (await innkeeper.get(f"operations/{operation_id}/"))["cancel_requested"] is True
