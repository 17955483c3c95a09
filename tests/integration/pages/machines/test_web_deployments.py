"""The pages of deployments over HTTP: who is offered them, what they refuse, and that a form counts once."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image
from tests.integration.support.tables import sql
from tests.integration.support.web_client import Answer, WebClient
from tests.support.waiting import eventually, settle

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBk1s7gFlnPPUBZpjzNCPMlJ5XmZVhYxVQxS4e0m5mGz ann@example"
NO_SUCH = "vms/nosuch/deploy"


@pytest.fixture
def region(innkeeper: Deployment) -> Deployment:
    settle(add_administrator_with_password(innkeeper))
    settle(add_image(innkeeper, "ubuntu/noble"))
    host = settle(innkeeper.add_simulated("alder", cores=8, storage_gb=1000))
    settle(innkeeper.compose(host["id"], cores=1, memory=1024, hostname="web-1"))
    return innkeeper


async def _page(client: WebClient, path: str) -> Answer:
    return await client.get(f"/MAAS/ui/{path}")


async def _logged_in(region: Deployment, username: str = "mira") -> WebClient:
    client = WebClient(urlsplit(region.region.api_url).port or 0)
    await client.log_in(username, PASSWORD)
    return client


async def _machine(region: Deployment) -> Any:
    (machine,) = await region.get("machines/")
    return machine


async def _send(client: WebClient, path: str, **fields: str) -> Answer:
    """Sends the form as it is shown, without scripts, with other values."""
    page = await _page(client, path)
    once = page.text.split('name="once" value="')[1].split('"')[0]
    form = {"csrf": page.csrf, "once": once, "distro_series": "ubuntu/noble", **fields}
    return await client.post(f"/MAAS/ui/{path}", None, **form)


async def test_a_form_that_is_sent_twice_deploys_once(region: Deployment) -> None:
    client, machine = await _logged_in(region), await _machine(region)
    path = f"vms/{machine['system_id']}/deploy"
    first = await _send(client, path, once="a" * 22)
    second = await _send_again(client, path)
    assert (first.status, second.status) == (303, 303)
    assert first.headers["Location"] == second.headers["Location"]
    deployments = [one for one in await region.get("operations/") if one["kind"] == "deploy"]
    assert len(deployments) == 1
    await eventually(lambda: _has(region, "Deployed"))
    assert "release it first" in (await _page(client, path)).text


async def _send_again(client: WebClient, path: str) -> Answer:
    csrf = (await _page(client, "account/ssh-keys")).csrf
    form = {"csrf": csrf, "once": "a" * 22, "distro_series": "ubuntu/noble", "user_data": "", "comment": ""}
    return await client.post(f"/MAAS/ui/{path}", None, **form)


async def _has(region: Deployment, status: str) -> bool:
    return bool((await _machine(region))["status_name"] == status)


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"distro_series": "ubuntu/jammy"}, "distro_series", "ubuntu/noble"),
        ({"distro_series": "<b>"}, "distro_series", "&lt;b&gt;"),
        ({"user_data": "hello"}, "user_data", "hello"),
        ({"user_data": "#!/bin/sh\n" + "a" * 1_100_000}, "user_data", "1 MiB"),
        ({"comment": "c" * 5000}, "comment", "4096"),
    ],
)
async def test_a_refusal_is_at_its_field(region: Deployment, fields: dict[str, str], field: str, reason: str) -> None:
    client, machine = await _logged_in(region), await _machine(region)
    answer = await _send(client, f"vms/{machine['system_id']}/deploy", **fields)
    assert answer.status == 422
    problem = answer.text.split(f'id="{field}-error"')[1].split("</p>")[0]
    assert reason in problem
    assert await _has(region, "Ready")


async def _begun(port: int, path: str, session: str) -> bytes:
    """The answer to the headers of a form of 1 MB, before any of it is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    cookie = f"Cookie: innkeeper_session={session}"
    writer.write(f"POST /MAAS/ui/{path} HTTP/1.1\r\nHost: h\r\n{cookie}\r\nContent-Length: 1000000\r\n\r\n".encode())
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.slow
async def test_long_user_data_is_taken_from_sessions_only(region: Deployment) -> None:
    client, machine = await _logged_in(region), await _machine(region)
    path, script = f"vms/{machine['system_id']}/deploy", "#!/bin/sh\n" + "a" * 1_000_000
    assert b" 401 " in await _begun(client.port, path, "a" * 43)
    assert (await client.post(f"/MAAS/ui/{path}", None, csrf="0" * 64, user_data=script)).status == 403
    assert await _has(region, "Ready")
    assert (await _send(client, path, user_data=script)).status == 303


async def test_a_viewer_is_not_offered_deployments(region: Deployment) -> None:
    await region.post("users/", username="ann", password=PASSWORD)
    await sql(region, "update pool_grant set role = 'viewer' returning account_id")
    client, machine = await _logged_in(region, "ann"), await _machine(region)
    page = await _page(client, f"vms/{machine['system_id']}")
    assert page.status == 200
    assert 'id="act-deploy"' not in page.text
    assert (await _page(client, f"vms/{machine['system_id']}/deploy")).status == 403
    assert (await _page(client, NO_SUCH)).status == 403


async def test_an_operator_deploys_a_ready_vm_with_their_keys(region: Deployment) -> None:
    await region.post("users/", username="ann", password=PASSWORD)
    await sql(region, "update pool_grant set role = 'operator' returning account_id")
    client, machine = await _logged_in(region, "ann"), await _machine(region)
    path = f"vms/{machine['system_id']}"
    assert 'id="act-deploy"' in (await _page(client, path)).text
    assert 'id="no-keys"' in (await _page(client, f"{path}/deploy")).text
    csrf = (await _page(client, "account/ssh-keys")).csrf
    assert (await client.post("/MAAS/ui/account/ssh-keys", None, csrf=csrf, key=KEY)).status == 303
    page = await _page(client, f"{path}/deploy")
    assert "1 SSH key of yours" in re.sub(r"\s+", " ", page.text)
    assert 'id="no-keys"' not in page.text
    assert (await _send(client, f"{path}/deploy")).status == 303
    assert (await _machine(region))["owner"] == "ann"
    assert (await _page(client, NO_SUCH)).status == 404


async def test_nobody_else_aborts_a_deployment(region: Deployment) -> None:
    await region.post("users/", username="ann", password=PASSWORD)
    await sql(region, "update pool_grant set role = 'operator' returning account_id")
    admin, other, machine = await _logged_in(region), await _logged_in(region, "ann"), await _machine(region)
    path = f"vms/{machine['system_id']}"
    with region.held("write root disk", name="alder"):
        assert (await _send(admin, f"{path}/deploy")).status == 303
        assert 'id="act-abort"' in (await _page(admin, path)).text
        assert 'id="act-abort"' not in (await _page(other, path)).text
        assert (await _page(other, f"{path}/abort")).status == 403
        csrf = (await _page(other, "account/ssh-keys")).csrf
        assert (await other.post(f"/MAAS/ui/{path}/abort", None, csrf=csrf)).status == 403
        assert await _has(region, "Deploying")


async def test_the_address_that_a_guest_got_is_shown_and_found(region: Deployment) -> None:
    client, machine = await _logged_in(region), await _machine(region)
    path = f"machines/{machine['system_id']}/"
    await region.post(path, op="deploy")
    await eventually(lambda: _is_deployed(region, path))
    (address,) = (await region.get(path))["ip_addresses"]
    assert address in (await _page(client, f"vms/{machine['system_id']}")).text
    assert address in (await _page(client, "vms?columns=addresses")).text
    row = f'id="vm-{machine["system_id"]}"'
    assert row in (await _page(client, f"vms?q={address}")).text
    await region.post(path, op="power_off", stop_mode="hard")
    assert address not in (await _page(client, f"vms/{machine['system_id']}")).text
    assert row not in (await _page(client, f"vms?q={address}")).text


async def _is_deployed(region: Deployment, path: str) -> bool:
    return bool((await region.get(path))["status_name"] == "Deployed")


async def _bulk(client: WebClient, machine: Any, **fields: str) -> Answer:
    """Answers the question about the deployment of the machine as one of many, with these fields."""
    csrf = (await _page(client, "account/ssh-keys")).csrf
    form = {"csrf": csrf, "action": "deploy", "selected": machine["system_id"], **fields}
    return await client.post("/MAAS/ui/vms/bulk", None, **form)


def _selected(page: Answer) -> list[str]:
    return re.findall(r'<option value="([^"]*)" selected', page.text)


@pytest.mark.parametrize("image", ["", "ubuntu/jammy"])
async def test_no_vm_is_deployed_with_an_image_that_nobody_chose(region: Deployment, image: str) -> None:
    client, machine = await _logged_in(region), await _machine(region)
    of_one = await _send(client, f"vms/{machine['system_id']}/deploy", distro_series=image)
    of_many = await _bulk(client, machine, confirmed="yes", distro_series=image, user_data="", comment="")
    for answer in (of_one, of_many):
        assert (answer.status, 'id="distro_series-error"' in answer.text) == (422, True)
        assert ('<option value="">Choose an image</option>' in answer.text, _selected(answer)) == (True, [])
    assert await _has(region, "Ready")


async def test_the_default_image_of_many_is_chosen_only_if_it_suits_all(region: Deployment) -> None:
    client, machine = await _logged_in(region), await _machine(region)
    assert _selected(await _bulk(client, machine)) == ["ubuntu/noble"]
    await add_image(region, "debian/bookworm")
    assert _selected(await _bulk(client, machine, distro_series="debian/bookworm")) == ["debian/bookworm"]  # a retry
    await sql(region, "update image set virtual_size_bytes = 1::bigint << 50 returning id")
    asked = await _bulk(client, machine)
    assert ('<option value="">Choose an image</option>' in asked.text, _selected(asked)) == (True, [])


@pytest.mark.slow
async def test_a_rebuild_asks_for_the_name_and_keeps_the_chosen_image(region: Deployment) -> None:
    client, machine = await _logged_in(region), await _machine(region)
    await add_image(region, "debian/bookworm")
    path = f"machines/{machine['system_id']}/"
    await region.post(path, op="deploy", distro_series="noble")
    await eventually(lambda: _is_deployed(region, path))
    vm = f"vms/{machine['system_id']}"
    assert 'id="act-rebuild"' in (await _page(client, vm)).text
    page = await _page(client, f"{vm}/rebuild")
    assert _selected(page) == ["ubuntu/noble"]
    assert "Its root disk with ubuntu/noble (" in page.text
    once, plan = (page.text.split(f'name="{name}" value="')[1].split('"')[0] for name in ("once", "plan"))
    form = {
        "csrf": page.csrf, "once": once, "plan": plan, "confirmed": "yes", "distro_series": "debian/bookworm",
        "user_data": "", "comment": "",
    }  # fmt: skip
    refused = await client.post(f"/MAAS/ui/{vm}/rebuild", None, typed="other", **form)
    assert (refused.status, _selected(refused)) == (422, ["debian/bookworm"])
    assert (await client.post(f"/MAAS/ui/{vm}/rebuild", None, typed=machine["hostname"], **form)).status == 303
    await eventually(lambda: _is_deployed(region, path))
    assert (await region.get(path))["distro_series"] == "bookworm"
