"""The page of events over HTTP: it says how long they are kept, as the setting has it."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import WebClient


async def test_events_link_only_to_tasks_that_are_kept(innkeeper: Deployment) -> None:
    await add_administrator_with_password(innkeeper)
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], hostname="web-1")
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    (task,) = [one["id"] for one in await innkeeper.get("operations/") if one["kind"] == "compose"]
    link = f'href="/MAAS/ui/tasks/{task}">task #{task}<'
    assert link in (await client.get("/MAAS/ui/events")).text
    await innkeeper.fetch("delete from operation where id = $1", task)
    page = (await client.get("/MAAS/ui/events")).text
    assert link not in page
    assert f"task #{task}, no longer kept" in page


@pytest.mark.parametrize(("days", "words"), [(90, "kept for 90 days"), (1, "kept for 1 day<")])
async def test_events_say_how_long_they_are_kept(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch, days: int, words: str
) -> None:
    await add_administrator_with_password(innkeeper)
    monkeypatch.setattr(innkeeper.region.components.services.events, "retention", timedelta(days=days))
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    assert words in (await client.get("/MAAS/ui/events")).text
