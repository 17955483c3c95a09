"""The page of events over HTTP: it says how long they are kept, as the setting has it."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from tests.browser.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.web_client import WebClient


@pytest.mark.parametrize(("days", "words"), [(90, "kept for 90 days"), (1, "kept for 1 day<")])
async def test_events_say_how_long_they_are_kept(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch, days: int, words: str
) -> None:
    await add_administrator_with_password(innkeeper)
    monkeypatch.setattr(innkeeper.region.components.services.events, "retention", timedelta(days=days))
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    assert words in (await client.get("/MAAS/ui/events")).text
