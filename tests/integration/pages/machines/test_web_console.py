"""The console pages over HTTP: what they show, and to whom."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_deployments import composed, database, deploy, reaches, wait_for_boot
from tests.integration.support.images import add_image
from tests.integration.support.web_client import Answer, WebClient
from tests.postgresql.database import execute
from tests.support.waiting import settle

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


@pytest.mark.slow
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


@pytest.mark.slow
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
    for path in ("console", "console/log", "screen"):
        assert (await visit(innkeeper, "ann", f"vms/{system_id}/{path}")).status == 403


async def test_an_open_page_of_a_deleted_vm_says_so_and_stops_asking(innkeeper: Deployment, system_id: str) -> None:
    await innkeeper.delete(f"machines/{system_id}/")
    for path in ("console/log", "console/tail"):
        gone = await visit(innkeeper, "mira", f"vms/{system_id}/{path}")
        assert (gone.status, system_id in gone.text) == (286, True)


async def handshake(
    innkeeper: Deployment, username: str, system_id: str, origin: str | None, *, path: str = "console"
) -> bytes:
    """Returns the first line of the answer to the browser's request for the WebSocket of a page."""
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in(username, PASSWORD)
    host = f"127.0.0.1:{client.port}"
    lines = [
        f"GET {UI}vms/{system_id}/{path}/socket HTTP/1.1", f"Host: {host}", "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(f"Cookie: {name}={value}" for name, value in client.cookies.items()),
        *([f"Origin: {origin}"] if origin else []), "", "",
    ]  # fmt: skip
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(60):
        first = await reader.readline()
    writer.close()
    return first


async def test_the_screen_opens_from_pages_of_this_region_only(innkeeper: Deployment, system_id: str) -> None:
    own = f"http://127.0.0.1:{urlsplit(innkeeper.region.api_url).port}"
    assert b" 101 " in await handshake(innkeeper, "mira", system_id, own, path="screen")
    for other in (None, "http://127.0.0.1", "http://example.com", "null"):
        assert b" 403 " in await handshake(innkeeper, "mira", system_id, other, path="screen")
    assert b" 403 " in await handshake(innkeeper, "ann", system_id, own, path="screen")


async def test_the_terminal_opens_from_pages_of_this_region_only(innkeeper: Deployment, system_id: str) -> None:
    own = f"http://127.0.0.1:{urlsplit(innkeeper.region.api_url).port}"
    assert b" 101 " in await handshake(innkeeper, "mira", system_id, own)
    for other in (None, "http://127.0.0.1", "http://example.com", "null"):
        assert b" 403 " in await handshake(innkeeper, "mira", system_id, other)
    assert b" 403 " in await handshake(innkeeper, "ann", system_id, own)
