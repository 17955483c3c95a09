"""The pages of lists and objects show what needs attention there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_changed_disks import lose_volume
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.adoption import refresh
from tests.integration.support.attention_conditions import CONDITIONS, Place
from tests.integration.support.tables import sql
from tests.integration.support.web_client import WebClient

__all__ = ["client"]
pytestmark = pytest.mark.database


async def make(innkeeper: Deployment, condition: str, host: Any) -> None:
    async with innkeeper.connection() as db:
        await CONDITIONS[condition].make(db, Place(host_id=host["id"], system_id="", account_id=1))


async def test_a_connected_host_in_the_list_says_that_it_needs_attention(
    innkeeper: Deployment, client: WebClient
) -> None:
    elm, oak = [await innkeeper.add_simulated(name) for name in ("elm", "oak")]
    text = await page(client, "hosts")
    assert ("elm</a>" in text, "/MAAS/ui/attention?host=" in text) == (True, False)
    await make(innkeeper, "problem", elm)
    await make(innkeeper, "unreachable", oak)  # its state says so
    text = await page(client, "hosts?q=is:attention")
    assert ("elm</a>" in text, "oak</a>" in text) == (True, True)
    assert f'href="/MAAS/ui/attention?host={elm["id"]}">Needs attention</a>' in text
    assert f"attention?host={oak['id']}" not in text
    listed = await page(client, f"attention?host={elm['id']}")
    assert "elm</a> reports a problem" in listed
    assert "oak</a> is unreachable" not in listed
    assert "Only of the host elm" in listed


async def test_a_vm_in_the_list_says_that_its_volume_is_missing(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], storage="root:8,data:5")
    assert "<small>Ready, stock</small>" in await page(client, "vms")
    lose_volume(innkeeper, 1)
    await refresh(innkeeper, host)
    assert "Ready, stock, volume missing</small>" in await page(client, "vms?q=is:attention")


async def test_the_settings_of_a_host_say_when_the_pinned_certificate_expires(
    innkeeper: Deployment, client: WebClient
) -> None:
    host = await innkeeper.add_simulated()
    expires_at = datetime.now(UTC) + timedelta(days=12, hours=1)
    change = "update vm_host set driver = 'lxd', pinned = 'x', pinned_fingerprint = $2, pinned_expires_at = $3"
    await sql(innkeeper, f"{change} where id = $1", host["id"], "ab" * 32, expires_at)
    text = await page(client, f"hosts/{host['id']}/settings")
    assert f">{expires_at:%d %B %Y}</time>, 12 days</dd>" in text
    await sql(innkeeper, "update vm_host set driver = 'simulated'")
