"""The web pages over HTTP, without a browser: sessions, tokens, headers, redirects, roles."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from regiond.ui.machines.compose import compose_page
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.support.tables import sql
from tests.integration.support.web_client import WebClient
from tests.support.waiting import settle


@pytest.fixture
def region(innkeeper: Deployment) -> Deployment:
    settle(add_administrator_with_password(innkeeper))
    settle(innkeeper.add_simulated("alder", guests=1))
    return innkeeper


@pytest.fixture
def client(region: Deployment) -> WebClient:
    return WebClient(urlsplit(region.region.api_url).port or 0)


async def test_addresses_of_the_beginning_and_of_maas_lead_to_pages(client: WebClient) -> None:
    for path, target in (
        ("/", "/MAAS/ui/overview"), ("/MAAS/", "/MAAS/ui/overview"), ("/MAAS/ui/", "/MAAS/ui/overview"),
        ("/MAAS/r/kvm/lxd/3/vms", "/MAAS/ui/hosts/3/vms"), ("/MAAS/r/kvm/virsh/4/edit", "/MAAS/ui/hosts/4/settings"),
        ("/MAAS/r/kvm/lxd", "/MAAS/ui/hosts"), ("/MAAS/ui/vms?q=a", "/MAAS/ui/login?next=%2FMAAS%2Fui%2Fvms%3Fq%3Da"),
    ):  # fmt: skip
        answer = await client.get(path)
        assert (answer.status // 100, answer.headers["Location"]) == (3, target)


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example", "/MAAS/ui/\\evil.example", "/MAAS/api/2.0/users/", "/MAAS/ui//x"],
)
async def test_a_login_leads_only_to_our_pages(client: WebClient, wanted: str) -> None:
    answer = await client.log_in("mira", PASSWORD, next=wanted)
    assert (answer.status, answer.headers["Location"]) == (303, "/MAAS/ui/overview")


async def test_another_site_cannot_log_a_browser_in(client: WebClient) -> None:
    answer = await client.post("/MAAS/ui/login", {"Origin": "https://evil.example"}, username="mira", password=PASSWORD)
    assert answer.status == 403
    assert client.cookies == {}


async def test_pages_show_the_ranges_of_users_and_of_hosts(region: Deployment, client: WebClient) -> None:
    created = await region.post("ipranges/", type="reserved", start_ip="192.168.122.10", end_ip="192.168.122.19")
    await client.log_in("mira", PASSWORD)
    for path in ("networks", f"networks/subnets/{created['subnet']['id']}"):
        page = (await client.get(f"/MAAS/ui/{path}")).text
        assert "192.168.122.10–192.168.122.19" in page
        assert page.index("192.168.122.128–192.168.122.254") < page.index("found on hosts")


async def test_the_list_counts_the_addresses_of_every_subnet(region: Deployment, client: WebClient) -> None:
    await sql(
        region,
        "insert into subnet (cidr, name, vlan_id) select ('10.' || n || '.0.0/24')::cidr, 'many-' || n, min(vlan.id)"
        " from vlan, generate_series(1, 250) n group by n",
    )
    await client.log_in("mira", PASSWORD)
    page = (await client.get("/MAAS/ui/networks")).text
    assert page.count('<svg class="ik-bar"') == len(await region.get("subnets/")) > 250
    await sql(region, "delete from subnet where name like 'many-%'")


async def test_the_page_of_a_subnet_names_a_device_that_is_on_no_machine(region: Deployment, client: WebClient) -> None:
    device = await region.post("devices/", mac_addresses="52:54:00:aa:00:01", hostname="printer")
    path = f"nodes/{device['system_id']}/interfaces/eth0/"
    linked = await region.post(
        path, op="link_subnet", mode="STATIC", subnet="192.168.122.0/24", ip_address="192.168.122.9"
    )
    await client.log_in("mira", PASSWORD)
    page = (await client.get(f"/MAAS/ui/networks/subnets/{linked['links'][0]['subnet']['id']}")).text
    assert ">printer<" in page[page.index("192.168.122.9<") :]
    found = (await client.get("/MAAS/ui/search?q=192.168.122.9")).text
    assert "printer" in found
    await region.delete("devices/printer/")


async def test_every_page_has_a_strict_policy_and_is_not_stored(client: WebClient) -> None:
    await client.log_in("mira", PASSWORD)
    for path in ("overview", "hosts", "no-such-page", "login"):
        answer = await client.get(f"/MAAS/ui/{path}")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert "style=" not in answer.text


async def test_files_are_kept_by_browsers_and_compressed(client: WebClient) -> None:
    page = await client.get("/MAAS/ui/login")
    path = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    answer = await client.get(path, **{"Accept-Encoding": "gzip"})
    assert answer.headers["Cache-Control"].endswith("immutable")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert (await client.get("/MAAS/ui/static/0/../../secrets.key")).status in {303, 404}
    assert (await client.get("/MAAS/ui/static/0/nothing.css")).status == 404


async def test_the_api_accepts_no_session(client: WebClient) -> None:
    await client.log_in("mira", PASSWORD)
    assert (await client.get("/MAAS/api/2.0/machines/")).status == 401


async def test_a_page_that_refreshes_itself_is_told_of_the_end_of_its_session(client: WebClient) -> None:
    client.cookies["innkeeper_session"] = "a" * 43
    answer = await client.get("/MAAS/ui/hosts", **{"HX-Request": "true"})
    assert (answer.status, answer.headers["HX-Redirect"]) == (401, "/MAAS/ui/login?next=%2FMAAS%2Fui%2Fhosts&ended=1")


async def test_a_change_needs_the_token_of_the_session(client: WebClient, region: Deployment) -> None:
    await client.log_in("mira", PASSWORD)
    page = await client.get("/MAAS/ui/hosts/1/vms")
    for token in ("", "0" * 64):
        assert (await client.post("/MAAS/ui/hosts/1/refresh", csrf=token)).status == 403
    answer = await client.post("/MAAS/ui/hosts/1/refresh", csrf=page.csrf)
    assert answer.status == 303
    assert answer.headers["Location"] == "/MAAS/ui/hosts/1/vms"


async def test_a_change_is_in_the_audit_trail_with_its_session(client: WebClient, region: Deployment) -> None:
    await client.log_in("mira", PASSWORD)
    page = await client.get("/MAAS/ui/hosts/1/vms")
    await client.post("/MAAS/ui/hosts/1/refresh", csrf=page.csrf)
    answer = await region.send("GET", "audit/", query=[("user", "mira"), ("action", "VmHost.refresh")])
    (entry,) = answer.json()
    assert entry["credential"].startswith("session ")


async def test_a_user_without_a_role_sees_and_may_do_nothing(client: WebClient, region: Deployment) -> None:
    await region.post("users/", username="ann", email="ann@example.org", password=PASSWORD, is_superuser="0")
    await sql(region, "delete from pool_grant returning account_id")
    await client.log_in("ann", PASSWORD)
    page = await client.get("/MAAS/ui/hosts")
    assert "alder" not in page.text
    assert "Add host" not in page.text
    assert (await client.get("/MAAS/ui/hosts/1/vms")).status == 404
    assert (await client.get("/MAAS/ui/compose")).status == 403
    assert (await client.post("/MAAS/ui/hosts/1/refresh", csrf=page.csrf)).status in {403, 404}


async def test_markup_in_names_is_text(client: WebClient, region: Deployment) -> None:
    await client.log_in("mira", PASSWORD)
    page = await client.get("/MAAS/ui/vms?q=%3Cscript%3Ealert(1)%3C/script%3E&tag=%22%3E%3Cb%3E")
    assert "<script>alert" not in page.text
    assert '"><b>' not in page.text


async def test_a_form_that_is_sent_twice_composes_one_machine(client: WebClient, region: Deployment) -> None:
    await client.log_in("mira", PASSWORD)
    page = await client.get("/MAAS/ui/compose")
    once = page.text.split('name="once" value="')[1].split('"')[0]
    form = {
        "csrf": page.csrf,
        "once": once,
        "action": "compose",
        "count": "1",
        "cores": "1",
        "memory": "1024",
        "disk0-size": "8",
    }
    first, second = [await client.post("/MAAS/ui/compose", None, **form) for _ in range(2)]
    assert first.status == second.status == 303
    assert first.headers["Location"] == second.headers["Location"]
    assert len(await region.get("machines/")) == 1


async def test_the_preview_of_a_compose_is_a_part_of_the_page_only(client: WebClient, region: Deployment) -> None:
    await client.log_in("mira", PASSWORD)
    page = await client.get("/MAAS/ui/compose")
    form = {"csrf": page.csrf, "count": "1", "cores": "1", "memory": "1024", "disk0-size": "8"}
    answer = await client.post("/MAAS/ui/compose/preview", None, **form)
    assert "alder" in answer.text
    assert "<form" not in answer.text
    for icon in re.findall(r'href="#(i-[a-z-]+)"', answer.text):
        assert f'<symbol id="{icon}"' in answer.text  # the page may not have it yet


@pytest.mark.slow
async def test_the_hosts_of_a_large_region_are_suggested_by_name(
    client: WebClient, region: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await region.add_simulated("birch")
    await region.post("resourcepools/", name="theirs")
    await region.add_simulated("cedar")
    await region.put("vm-hosts/3/", pool="theirs")
    await region.post("users/", username="ann", email="ann@example.org", password=PASSWORD, is_superuser="0")
    monkeypatch.setattr(compose_page, "MOST_CHOICES", 2)
    await client.log_in("ann", PASSWORD)
    assert '<option value="birch"' in (await client.get("/MAAS/ui/compose")).text
    monkeypatch.setattr(compose_page, "MOST_CHOICES", 1)
    form = (await client.get("/MAAS/ui/compose")).text
    assert '<input type="text" id="host"' in form
    assert "One of 2 hosts" in form
    for typed, names in (("", ["alder", "birch"]), ("BI", ["birch"]), ("cedar", [])):
        answer = await client.get(f"/MAAS/ui/compose/hosts?host={typed}")
        assert re.findall(r'<option value="(.*?)"', answer.text) == names
    page = await client.get("/MAAS/ui/compose")
    sent = {"csrf": page.csrf, "count": "1", "cores": "1", "memory": "1024", "disk0-size": "8", "host": "bi"}
    refused = await client.post("/MAAS/ui/compose", None, action="compose", **sent)
    previewed = await client.post("/MAAS/ui/compose/preview", None, **sent)
    assert "There is no VM host &#39;bi&#39;" in refused.text.split('id="host-error"')[1]
    assert 'href="#host"' in previewed.text


async def test_a_rejected_compose_keeps_what_was_typed_and_says_why(client: WebClient, region: Deployment) -> None:
    await client.log_in("mira", PASSWORD)
    page = await client.get("/MAAS/ui/compose")
    form = {
        "csrf": page.csrf,
        "action": "compose",
        "hostname": "big-one",
        "count": "1",
        "cores": "999",
        "memory": "1024",
        "disk0-size": "8",
    }
    answer = await client.post("/MAAS/ui/compose", None, **form)
    assert answer.status == 503
    assert 'value="big-one"' in answer.text
    assert "999 cores" in answer.text
    answer = await client.post("/MAAS/ui/compose", None, **(form | {"memory": "5"}))
    assert answer.status == 422
    assert 'id="memory-error"' in answer.text


async def test_a_failed_compose_can_be_changed_and_requested_again(client: WebClient, region: Deployment) -> None:
    await client.log_in("mira", PASSWORD)
    form = {
        "hostname": "big-one",
        "count": "1",
        "cores": "999",
        "memory": "4096",
        "disk0-size": "20",
        "disk0-tags": "ssd",
    }
    page = await client.get("/MAAS/ui/compose")
    await client.post("/MAAS/ui/compose", None, csrf=page.csrf, action="compose", **form)
    (task,) = [one for one in await region.get("operations/") if one["kind"] == "compose"]
    page = await client.get(f"/MAAS/ui/tasks/{task['id']}")
    assert f'href="/MAAS/ui/compose?task={task["id"]}"' in page.text
    page = await client.get(f"/MAAS/ui/compose?task={task['id']}")
    for value in form.values():
        assert f'value="{value}"' in page.text
    for unknown in ("999999", "x"):
        assert (await client.get(f"/MAAS/ui/compose?task={unknown}")).status == 404


async def test_the_list_of_vms_has_the_columns_that_the_address_names(client: WebClient, region: Deployment) -> None:
    await region.compose(region.hosts["alder"], hostname="web-1", memory=1024)
    await client.log_in("mira", PASSWORD)
    for query, present, absent in (("", ("owner", "cores"), ()), ("columns=cores", ("cores",), ("owner", "task"))):
        page = await client.get(f"/MAAS/ui/vms?{query}")
        columns = re.findall(r" ik-c\d-([a-z]+)", page.text)
        assert set(present) <= set(columns)
        assert not set(absent) & set(columns)
        assert page.text.count('<th scope="col"') == len(columns) + 1  # the name is a header
        row = page.text.partition('<tr id="vm-')[2].partition("</tbody>")[0]
        assert row.count("<td") == len(columns) + 1  # the tick


async def test_an_administrator_ends_the_session_of_another_user(client: WebClient, region: Deployment) -> None:
    await region.post("users/", username="ann", email="ann@example.org", password=PASSWORD, is_superuser="0")
    other = WebClient(client.port)
    await other.log_in("ann", PASSWORD)
    await client.log_in("mira", PASSWORD)
    page = await client.get("/MAAS/ui/settings/users/ann")
    (path,) = re.findall(r'href="(/MAAS/ui/settings/users/ann/sessions/\d+/end)"', page.text)
    assert (await other.post(path, csrf=(await other.get("/MAAS/ui/account")).csrf)).status == 403
    question = await client.post(path, csrf=page.csrf)
    assert question.status == 200
    assert (await other.get("/MAAS/ui/hosts")).status == 200
    assert (await client.post(path, None, **question.hidden)).status == 303
    assert (await other.get("/MAAS/ui/hosts")).headers["Location"].startswith("/MAAS/ui/login")


@pytest.mark.slow
@pytest.mark.usefixtures("stopped_request_limits")
async def test_strangers_may_ask_for_pages_as_often_as_for_anything_else(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, anonymous_requests_per_s=1) as innkeeper:
        client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
        statuses = [(await client.get(path)).status for path in ("/MAAS/ui/login", "/MAAS/ui/hosts", "/MAAS/ui/x") * 5]
    assert 429 not in statuses[:5]
    assert 429 in statuses[10:]
