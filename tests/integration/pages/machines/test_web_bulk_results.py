"""The page with the outcomes of an action on several VMs speaks of others only if there are any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from regiond.ui.machines.bulk import bulk_run
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.machines.bulk.test_bulk import composed, ids
from tests.integration.machines.test_machine_lock import make_deployed
from tests.integration.support.web_client import WebClient


@pytest.mark.parametrize(
    ("refused", "said"), [(1, "1 VM was refused; the others are locked."), (2, "2 VMs were refused.")]
)
async def test_others_are_named_only_if_there_are_any(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch, refused: int, said: str
) -> None:
    await add_administrator_with_password(innkeeper)
    machines = await composed(innkeeper, 2)
    for machine in machines:
        await make_deployed(innkeeper, machine)
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)

    async def run(_visit: Any, _action: Any, found: Iterable[Any], _fields: Any) -> Sequence[bulk_run.Outcome]:
        return [
            bulk_run.Outcome(machine=one, error="It is busy." if index < refused else "")
            for index, one in enumerate(found)
        ]

    monkeypatch.setattr(bulk_run, "run", run)
    csrf = (await client.get("/MAAS/ui/account")).csrf
    fields = [("csrf", csrf), ("action", "lock"), ("confirmed", "yes"), *(("selected", one) for one in ids(machines))]
    page = await client.send("POST", "/MAAS/ui/vms/bulk", body=urlencode(fields))
    assert f">{said}<" in page.text
