"""The pages of the audit trail over HTTP: values are redacted, and what they were is not shown any more."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import Answer, WebClient
from tests.support.waiting import settle

FORM = "/MAAS/ui/settings/audit/redact"


@pytest.fixture
def client(rackless: Deployment) -> WebClient:
    settle(add_administrator_with_password(rackless))
    client = WebClient(urlsplit(rackless.region.api_url).port or 0)
    settle(client.log_in("mira", PASSWORD))
    return client


async def zone_entry(rackless: Deployment) -> int:
    """The entry of a request with a value that nobody may see."""
    await rackless.post("zones/", name="hunter2")
    (entry,) = (await rackless.send("GET", "audit/", query=[("action", "Zones.create")])).json()
    found: int = entry["id"]
    return found


async def submit(client: WebClient, path: str, **form: str) -> Answer:
    page = await client.get(path)
    return await client.post(path, None, csrf=page.csrf, **form)


async def test_a_field_of_one_request_is_redacted(rackless: Deployment, client: WebClient) -> None:
    entry_id = await zone_entry(rackless)
    path = f"{FORM}?entry={entry_id}"
    assert "hunter2" in (await client.get(path)).text
    answer = await submit(client, path, field="name", comment="leaked")
    assert (answer.status, answer.headers["Location"]) == (303, "/MAAS/ui/settings/audit?action=audit.redact")
    trail = (await client.get("/MAAS/ui/settings/audit")).text
    assert "hunter2" not in trail
    assert "redacted by #" in trail
    assert "The trail is complete" in (await client.get("/MAAS/ui/settings/audit/verify")).text
    again = await submit(client, path, field="name", comment="leaked")
    assert (again.status, "is redacted already" in again.text) == (422, True)


async def test_a_field_is_redacted_in_all_requests_by_a_form(rackless: Deployment, client: WebClient) -> None:
    await zone_entry(rackless)
    assert (await submit(client, FORM, what="unlisted", comment="upgraded")).status == 422
    assert (await submit(client, FORM, what="field", field="name", comment="leaked")).status == 303
    assert "hunter2" not in (await client.get("/MAAS/ui/settings/audit")).text


@pytest.mark.slow
async def test_the_form_continues_where_it_ended_for_the_same_choice(rackless: Deployment, client: WebClient) -> None:
    old = json.dumps({"action": "Machine.deploy", "fields": {"user_data": "hunter2", "key": "k"}, "result": "ok"})
    async with rackless.connection() as db:
        await db.execute("select audit_append(array_fill($1::text, array[5010]))", old)
    form = {"what": "field", "field": "user_data", "comment": "leaked"}
    begun = await submit(client, FORM, **form)
    assert (begun.status, "Redact again until no more are left" in begun.text) == (200, True)
    (after,) = re.findall(r'name="after" value="([0-9]+)"', begun.text)
    (choice,) = re.findall(r'name="choice" value="([^"]+)"', begun.text)
    assert (int(after) >= 5000, choice) == (True, "user_data")
    for _ in range(2):  # the second has nothing left
        assert (await submit(client, FORM, **form, after=after, choice=choice)).status == 303
    other = await submit(client, FORM, **{**form, "field": "key"}, after=after, choice=choice)
    assert "Redact again until no more are left" in other.text


async def test_a_form_that_names_nothing_or_no_reason_is_refused(rackless: Deployment, client: WebClient) -> None:
    path = f"{FORM}?entry={await zone_entry(rackless)}"
    for page in (path, FORM):
        answer = await submit(client, page, comment="leaked")
        assert (answer.status, "Choose what to redact." in answer.text) == (422, True)
    answer = await submit(client, path, what="all")
    assert (answer.status, 'id="comment-error"' in answer.text) == (422, True)
    assert (await client.get(f"{FORM}?entry=999")).status == 404


async def test_the_audit_trail_links_only_to_tasks_that_are_kept(rackless: Deployment, client: WebClient) -> None:
    """By default an entry outlives its task by most of a year."""
    host = await rackless.add_simulated()
    task = await rackless.begin(f"vm-hosts/{host['id']}/", op="refresh")
    link = f'href="/MAAS/ui/tasks/{task}">task #{task}<'
    assert link in (await client.get("/MAAS/ui/settings/audit")).text
    await rackless.fetch("delete from operation where id = $1", task)
    page = (await client.get("/MAAS/ui/settings/audit")).text
    assert link not in page
    assert f"task #{task}, no longer kept" in page
