"""The console pages over HTTP: what they show, and to whom."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.browser.fleet import PASSWORD, add_administrator_with_password
from tests.database import execute
from tests.deployment.deployment import Deployment
from tests.integration.images import add_image
from tests.integration.test_deployments import composed, database, deploy, reaches, wait_for_boot
from tests.integration.web_client import Answer, WebClient
from tests.waiting import settle

UI = "/MAAS/ui/"
PANIC = "Kernel panic"


@pytest.fixture
def system_id(innkeeper: Deployment) -> str:
    """A VM whose operating system does not boot, not deployed yet."""
    settle(add_administrator_with_password(innkeeper))
    settle(innkeeper.post("users/", username="ann", password=PASSWORD))
    settle(add_image(innkeeper))
    return settle(composed(innkeeper, boot="fails"))


async def visit(innkeeper: Deployment, username: str, path: str) -> Answer:
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in(username, PASSWORD)
    return await client.get(UI + path)


async def test_the_console_page_follows_a_deployment(innkeeper: Deployment, system_id: str) -> None:
    path = f"vms/{system_id}/console"
    assert "has written nothing" in (await visit(innkeeper, "mira", path)).text
    await deploy(innkeeper, system_id)
    await wait_for_boot(innkeeper)
    page = await visit(innkeeper, "mira", path)
    assert PANIC in page.text
    assert f'hx-get="{UI}{path}/log"' in page.text
    following = await visit(innkeeper, "mira", f"{path}/log")
    assert (following.status, PANIC in following.text) == (200, True)
    assert f'hx-get="{UI}{path}/log"' in (await visit(innkeeper, "mira", f"vms/{system_id}")).text


async def test_failed_deployments_show_last_lines_to_their_owner(innkeeper: Deployment, system_id: str) -> None:
    await deploy(innkeeper, system_id)
    await wait_for_boot(innkeeper)
    await execute(database(innkeeper), "update deployment set booted_at = booted_at - interval '1 day'")
    await reaches(innkeeper, system_id, "Failed deployment")
    (task,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "deploy"]
    for path in (f"vms/{system_id}", f"tasks/{task['id']}"):
        assert PANIC in (await visit(innkeeper, "mira", path)).text
        others = await visit(innkeeper, "ann", path)
        assert (others.status, PANIC in others.text) == (200, False)
    assert (await visit(innkeeper, "mira", f"vms/{system_id}/console/log")).status == 286


async def test_others_are_not_offered_the_console(innkeeper: Deployment, system_id: str) -> None:
    assert 'id="act-console"' not in (await visit(innkeeper, "ann", f"vms/{system_id}")).text
    for path in ("console", "console/log"):
        assert (await visit(innkeeper, "ann", f"vms/{system_id}/{path}")).status == 403
