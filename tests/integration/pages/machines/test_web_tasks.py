"""The pages of tasks over HTTP: a task for many VMs is tried again for those that failed."""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.machines.bulk.test_bulk import bulk, composed, ids
from tests.integration.machines.test_machine_lock import make_deployed
from tests.integration.operations.test_abandoned_operations import WHY, stuck
from tests.integration.operations.test_operations import wait_until_at_host
from tests.integration.support.web_client import Answer, WebClient
from tests.support.rejections import rejection
from tests.support.waiting import settle

FORM = re.compile(r'<form method="post" action="([^"]*)">(?:(?!</form>).)*Try again', re.DOTALL)
FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


@pytest.fixture
def client(innkeeper: Deployment) -> WebClient:
    settle(add_administrator_with_password(innkeeper))
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    settle(client.log_in("mira", PASSWORD))
    return client


@pytest.mark.slow
async def test_a_bulk_task_is_tried_again_only_for_what_failed(innkeeper: Deployment, client: WebClient) -> None:
    machines = await composed(innkeeper, 3)
    locked = f"machines/{machines[0]['system_id']}/"
    await make_deployed(innkeeper, machines[0])
    await innkeeper.post(locked, op="lock")
    failed = await bulk(innkeeper, "delete", ids(machines))
    assert await innkeeper.ended(failed) == "failed"
    await innkeeper.post(locked, op="unlock")
    form = FORM.search((await client.get(f"/MAAS/ui/tasks/{failed}")).text)
    assert form is not None
    question = await send(client, form[1], *FIELD.findall(form[0]))
    assert "Delete 1 of 1 VM?" in question.text
    kept = FIELD.findall(question.text[question.text.index('id="question"') :])
    answer = await send(client, form[1], *kept, ("typed", "vm-0"))
    (again,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "bulk" and one["id"] != failed]
    assert await innkeeper.ended(again["id"]) == "succeeded"
    assert f"/MAAS/ui/tasks/{again['id']}" in (await client.get(answer.headers["Location"])).text
    assert innkeeper.simulated_guests() == []


async def test_a_file_of_tasks_needs_filters_that_exist(client: WebClient) -> None:
    assert (await client.get("/MAAS/ui/tasks/export?kind=compose")).headers.get_content_type() == "text/csv"
    for query in ("since=yesterday", "state=done", "kind=start"):
        refused = await client.get(f"/MAAS/ui/tasks/export?{query}")
        assert (refused.status, refused.headers.get_content_type()) == (422, "text/html")
        assert f'id="{query.partition("=")[0]}-error"' in refused.text


async def test_a_rejected_host_is_a_link_only_while_it_is_there(innkeeper: Deployment, client: WebClient) -> None:
    ids = [(await innkeeper.add_simulated(name))["id"] for name in ("alder", "birch")]
    await rejection(innkeeper.post("vm-hosts/", op="compose", cores=99, memory=1024))
    (task,) = [one["id"] for one in await innkeeper.get("operations/") if one["kind"] == "compose"]
    links = [f'<a href="/MAAS/ui/hosts/{number}/vms">' for number in ids]
    page = (await client.get(f"/MAAS/ui/tasks/{task}")).text
    assert [link in page for link in links] == [True, True]
    await innkeeper.delete(f"vm-hosts/{ids[0]}/")
    page = (await client.get(f"/MAAS/ui/tasks/{task}")).text
    assert [link in page for link in links] == [False, True]
    assert "<dt>alder</dt>" in page


async def test_a_cancellation_is_asked_again_once_a_host_was_reached(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        task = await innkeeper.begin_compose(host["id"], cores=1, memory=1024)
        await wait_until_at_host(innkeeper, task)
        path = f"/MAAS/ui/tasks/{task}/cancel"
        await innkeeper.fetch("update operation set reached_host = false where id = $1", task)
        question = await client.get(path)
        assert "not begun on a host" in question.text
        await innkeeper.fetch("update operation set reached_host = true where id = $1", task)
        again = await client.post(path, None, **question.hidden)
        assert (again.status, "This changed since the page was shown" in again.text) == (409, True)
        assert "undone where possible" in again.text
        assert not (await innkeeper.get(f"operations/{task}/"))["cancel_requested"]
        assert (await client.post(path, None, **again.hidden)).status == 303
    assert await innkeeper.ended(task) == "cancelled"


async def send(client: WebClient, path: str, *fields: tuple[str, str]) -> Answer:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await client.send("POST", path, body=urlencode(fields), headers=headers)


async def test_a_page_abandons_an_operation_with_a_reason(innkeeper: Deployment, client: WebClient) -> None:
    (machine,) = await composed(innkeeper, 1)
    async with stuck(innkeeper, machine, "grow_disk") as operation:
        page = f"/MAAS/ui/tasks/{operation}"
        assert f'href="{page}/abandon"' in (await client.get(page)).text
        question = await client.get(f"{page}/abandon")
        assert "Nothing more is undone." in question.text
        refused = await client.post(f"{page}/abandon", None, **question.hidden, comment="")
        assert (refused.status, "Say why" in refused.text) == (422, True)
        await client.post(f"{page}/abandon", None, **question.hidden, comment=WHY)
        assert (await innkeeper.get(f"operations/{operation}/"))["state"] == "failed"
