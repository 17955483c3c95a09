"""The page of a discrepancy over HTTP: it links only to a VM and a host that are still there."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import rows
from tests.integration.support.discrepancies import only_after_refresh
from tests.integration.support.web_client import WebClient
from tests.support.waiting import eventually


@pytest.mark.slow
async def test_a_discrepancy_links_only_to_what_there_is(innkeeper: Deployment) -> None:
    await add_administrator_with_password(innkeeper)
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="gone-1")
    for table in ("disk", "guest"):
        rows(innkeeper, f"delete from {table}")  # noqa: S608 - two names above
    found = await only_after_refresh(innkeeper, host)
    path = f"/MAAS/ui/settings/discrepancies/{found['id']}"
    to_vm = f'href="/MAAS/ui/vms/{machine["system_id"]}"'
    to_host = f'<dd><a href="/MAAS/ui/hosts/{host["id"]}/vms">sim</a></dd>'
    page = (await client.get(path)).text
    assert f"<dd><a {to_vm}>gone-1</a></dd>" in page
    assert to_host in page

    approval = {"etag": found["etag"], "found": found["found"]}
    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", **approval)

    async def is_deleted() -> bool:
        return not await innkeeper.get("machines/")

    await eventually(is_deleted)
    page = (await client.get(path)).text
    assert "Repaired" in page
    assert to_vm not in page
    assert f"<dd>{machine['system_id']}, deleted</dd>" in page
    assert to_host in page

    await innkeeper.send("DELETE", f"vm-hosts/{host['id']}/")
    page = (await client.get(path)).text
    assert to_host not in page
    assert "<dd>sim, removed</dd>" in page
