"""No request, page or stream shows an ordinary user what only administrators read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from urllib.parse import quote, urlsplit

import pytest

from common.errors import NotFound
from common.words.hidden_text import MARKS
from innkeeper.rpc import PowerAction, connect
from regiond.api.replies import Reply
from regiond.requests.audience import HIDDEN_REASON
from regiond.ui.pages import PAGES
from tests.browser.support.fleet import PASSWORD, give_password
from tests.deployment.deployment import Deployment
from tests.integration.accounts.test_role_matrix import each_call
from tests.integration.accounts.test_roles import client_folder
from tests.integration.support.planted import ADDRESS, ERROR, OF_HOST, REFUSAL, SAYS, Planted, planted
from tests.integration.support.two_pools import FOREIGN, GRANTS, NATIVE, USERNAMES, Contents, Role, two_pools
from tests.integration.support.web_client import WebClient
from tests.support.rejections import rejection

pytestmark = pytest.mark.slow  # each plants its texts with hosts that fail

STREAM_S = 1.0  # the stored events of a stream come at once
POOL_OF = {role: GRANTS[role][0] if role in GRANTS else None for role in Role}
READERS = (*GRANTS, Role.NOBODY, Role.STRANGER)


async def text_of(reply: Reply) -> str:
    """The body, or what a stream sends of what is stored; with the headers."""
    body = reply.body
    if reply.chunks is not None:
        async with aclosing(reply.chunks) as chunks:
            try:
                async with asyncio.timeout(STREAM_S):
                    async for chunk in chunks:
                        body += chunk
            except TimeoutError:
                pass
    return body.decode("utf-8", "replace") + str(dict(reply.headers))


def rpc_address(innkeeper: Deployment) -> str:
    return f"127.0.0.1:{innkeeper.region.rpc_port}"


def leaks(text: str, role: Role, secrets: Planted) -> list[str]:
    hidden = () if role is Role.ADMIN else secrets.hidden_from(POOL_OF[role])
    marks = [mark for mark in MARKS if mark in text or f"\\u{ord(mark):04x}" in text]
    return [*(secret for secret in hidden if secret in text), *marks]


async def test_no_request_shows_what_is_hidden(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    found: list[str] = []
    shown: set[str] = set()
    async with planted(pools) as secrets:
        for resource, endpoint, where, path in each_call(pools):
            if endpoint.method != "GET":
                continue
            for role in (*READERS, Role.ADMIN):
                text = await text_of(await pools.send(role, resource, endpoint, path, harmless=False))
                if role is Role.ADMIN:
                    shown |= {secret for secret in OF_HOST if secret in text}
                if leaked := [one for one in leaks(text, role, secrets) if one not in path.values()]:
                    near = text[max(0, text.find(leaked[0]) - 300) :][:600]
                    found.append(f"{resource.handler}.{endpoint.name} on {where} shows the {role} {leaked}: …{near}…")
    assert not found, "\n\n".join(found)
    assert shown == {*OF_HOST}, "an administrator reads it"


def addresses(one: Contents, role: Role) -> Mapping[str, str]:
    """What a part of the path of a page leads to. A new one is missing here: KeyError."""
    return {
        "host": str(one.host_id), "cluster": str(one.cluster_id), "interface": str(one.interface_id),
        "system_id": one.system_id, "nic": "eth0", "disk": str(one.disk_id), "task": str(one.operation_id),
        "format": "json", "rack": "rack", "pool": str(one.pool_id), "username": USERNAMES[role], "id": "1",
        "number": "1", "image": "1000", "export": "1", "import": "1", "filter": "1", "token_key": "none", "key": "1",
        "name": "none", "way": "upload", "subnet": "1",
    }  # fmt: skip


def _part(known: Mapping[str, str], part: re.Match[str]) -> str:
    return known[part[1]]


def page_paths(contents: Mapping[str, Contents], tasks: list[int], role: Role) -> list[str]:
    """Each page, of objects of both pools; the lists as files, too, and each task and search."""
    paths = dict.fromkeys(
        re.sub(r"<(?:\w+:)?(\w+)>", partial(_part, addresses(one, role)), page.path)
        for page in PAGES
        if page.method == "GET"
        for one in contents.values()
    )
    files = [f"{path}?format={kind}" for path in paths for kind in ("csv", "json") if path.endswith("export")]
    more = [f"tasks/{task}{part}" for task in tasks for part in ("", "/log", "/note", "/cancel")]
    return [*paths, *files, *more, "events/export/csv", f"events?q={SAYS}", f"search?q={FOREIGN}", f"search?q={SAYS}"]


@pytest.mark.parametrize("role", [role for role in USERNAMES if role is not Role.ADMIN])
async def test_no_page_shows_what_is_hidden(innkeeper: Deployment, role: Role) -> None:
    pools = await two_pools(innkeeper)
    found: list[str] = []
    async with planted(pools) as secrets:
        await give_password(innkeeper, USERNAMES[role])
        client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
        assert (await client.log_in(USERNAMES[role], PASSWORD)).status == 303
        tasks = [row["id"] for row in await innkeeper.fetch("select id from operation")]
        for path in page_paths(pools.contents, tasks, role):
            page = await client.get(f"/MAAS/ui/{path}")
            assert page.status < 500 or page.status == 503, (path, page.status)
            text = page.text + str(page.headers)
            if leaked := [one for one in leaks(text, role, secrets) if one not in path]:
                near = text[max(0, text.find(leaked[0]) - 300) :][:600]
                found.append(f"{path} ({page.status}) shows the {role} {leaked}: …{near}…")
    assert not found, "\n\n".join(found)


async def test_no_answer_to_a_change_shows_what_is_hidden(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    found: list[str] = []
    changes = [call for call in each_call(pools) if call[1].method != "GET"]
    async with planted(pools) as secrets:
        for resource, endpoint, where, path in sorted(changes, key=lambda call: call[1].destructive):
            for role in READERS:
                reply = await pools.send(role, resource, endpoint, path, harmless=False, prefer="respond-async")
                text = await text_of(reply)
                if leaked := [one for one in leaks(text, role, secrets) if one not in path.values()]:
                    found.append(
                        f"{resource.handler}.{endpoint.name} on {where} shows the {role} {leaked}: {text:.600}"
                    )
    assert not found, "\n\n".join(found)


async def test_an_error_of_a_host_is_hidden_from_who_waits_for_it(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    path = f"machines/{pools.contents[NATIVE].system_id}/"
    with innkeeper.simulated(f"{NATIVE}-server").fails(code="driver_failed", text=ERROR, calls=["power"]):
        for deployment, shown in ((pools.as_role(Role.OPERATOR), HIDDEN_REASON), (innkeeper, ERROR)):
            error = await rejection(deployment.post(path, op="power_on"))
            assert (error.details["status"], error.message) == (503, shown)
    with innkeeper.simulated(f"{NATIVE}-server").fails(code="wrong_state", text=REFUSAL, calls=["power"]):
        refused = await rejection(pools.as_role(Role.OPERATOR).post(path, op="power_on"))
    assert refused.message == "The VM is not changed: the server at [hidden] has '[hidden]' in use. Shut it down first."


async def test_no_answer_over_rpc_shows_what_is_hidden(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    folder = await client_folder(pools, Role.OPERATOR, "olga")
    native = f"{NATIVE}-server"
    async with connect(rpc_address(innkeeper), folder=folder) as region:
        with innkeeper.simulated(native).fails(code="driver_failed", text=ERROR, calls=["power"]):
            begun = await region.power(pools.contents[NATIVE].system_id, PowerAction.ON)
            assert (await rejection(region.wait(begun.id))).message == HIDDEN_REASON
        async with planted(pools) as secrets:
            answers: list[object] = [await region.hosts(), await region.machines()]
            for row in await innkeeper.fetch("select id from operation"):
                try:
                    answers.append(await region.operation(row["id"]))
                except NotFound as error:
                    answers.append(error)
            assert [text for text in map(str, answers) if leaks(text, Role.OPERATOR, secrets)] == []
            assert any(HIDDEN_REASON in str(answer) for answer in answers)


async def test_a_search_finds_only_the_text_that_its_reader_sees(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    vera = pools.as_role(Role.VIEWER)
    async with planted(pools):
        for one, text, finds in (
            (vera, SAYS, False),
            (vera, "native-server: ", True),
            (innkeeper, SAYS, True),
            (innkeeper, "server: The", True),
        ):
            page = await one.get(f"events/?op=query&q={quote(text)}&kind=host_unreachable")
            assert (page["count"] > 0) is finds, text
        assert await vera.get(f"vm-hosts/?q=address:{ADDRESS}") == []
