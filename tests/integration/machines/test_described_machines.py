"""Owners describe their machines; all else of a machine is for administrators to change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.support.users import as_user, own
from tests.support.rejections import rejection


async def owned(innkeeper: Deployment) -> tuple[Deployment, str]:
    """Returns the owner, and the path of the machine."""
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web")
    olaf = await as_user(innkeeper, "olaf")
    await own(innkeeper, machine["system_id"], "olaf")
    return olaf, f"machines/{machine['system_id']}/"


async def status_of(call: Any) -> int:
    return int((await rejection(call)).details["status"])


async def test_an_owner_changes_the_description_only(innkeeper: Deployment) -> None:
    olaf, path = await owned(innkeeper)
    assert (await olaf.put(path, description="the shop"))["description"] == "the shop"
    for fields in ({"hostname": "shop"}, {"description": "mine", "pool": "default"}, {"autostart": "always"}):
        assert await status_of(olaf.put(path, **fields)) == 403
    shown = await innkeeper.get(path)
    assert (shown["hostname"], shown["description"]) == ("web", "the shop")


@pytest.mark.slow
async def test_nobody_else_describes_a_machine(innkeeper: Deployment) -> None:
    olaf, path = await owned(innkeeper)
    eve = await as_user(innkeeper, "eve")
    assert await status_of(eve.put(path, description="hers")) in (403, 404)
    await innkeeper.put(path, description="of the administrator")
    await innkeeper.fetch("update machine set locked = true")
    assert await status_of(olaf.put(path, description="locked")) == 403
