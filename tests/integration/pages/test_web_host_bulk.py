"""Actions on several hosts of which one is removed meanwhile: the others are changed, and a note says which is gone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

import pytest
from attrs import evolve

from regiond.api.resources.shared.lookups import find_cluster
from regiond.api.services import Services
from regiond.clusters.model import ClusterView
from regiond.clusters.service import apply_membership
from regiond.ui.clusters import cluster_pages
from regiond.ui.web_request import UI
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.hosts.test_clusters import FACTS
from tests.integration.machines.deployment.test_deployments import database
from tests.integration.support.web_client import Answer, WebClient
from tests.support.waiting import settle


@pytest.fixture
def region(innkeeper: Deployment) -> Deployment:
    async def prepare() -> None:
        await add_administrator_with_password(innkeeper)
        for name in ("alder", "birch"):
            await innkeeper.add_simulated(name)

    settle(prepare())
    return innkeeper


@pytest.fixture
def client(region: Deployment) -> WebClient:
    client = WebClient(urlsplit(region.region.api_url).port or 0)
    settle(client.log_in("mira", PASSWORD))
    return client


async def send(client: WebClient, *fields: tuple[str, str]) -> Answer:
    """Sends the form of the list; a field may be repeated."""
    csrf = (await client.get(f"{UI}account")).csrf
    return await client.send("POST", f"{UI}hosts/bulk", body=urlencode([("csrf", csrf), *fields]))


async def note(client: WebClient, answer: Answer) -> str:
    """The note of the page to which the answer leads."""
    assert answer.status == 303
    page = (await client.get(answer.headers["Location"])).text
    return " ".join(re.sub("<[^>]*>", "", page.partition('id="note"')[2].partition("</div>")[0]).split())


@pytest.mark.slow
async def test_a_removed_host_does_not_stop_the_others(region: Deployment, client: WebClient) -> None:
    answer = await send(client, ("action", "refresh"), ("selected", "1"), ("selected", "99"), ("selected", "2"))
    said = await note(client, answer)
    assert "The refresh of 2 hosts has begun." in said
    assert "1 host is no longer there: host 99." in said
    alone = await note(client, await send(client, ("action", "refresh"), ("selected", "99")))
    assert "1 host is no longer there: host 99." in alone


@pytest.mark.slow
async def test_the_answer_names_a_host_that_was_removed_meanwhile(region: Deployment, client: WebClient) -> None:
    asked = await send(client, ("action", "close"), ("selected", "1"), ("selected", "2"))
    named = [("name-1", asked.hidden["name-1"]), ("name-2", asked.hidden["name-2"])]
    assert [name for _, name in named] == ["alder", "birch"]
    await region.delete("vm-hosts/1/")
    confirmed = [("action", "close"), ("selected", "1"), ("selected", "2"), ("confirmed", "yes"), *named]
    said = await note(client, await send(client, *confirmed))
    assert "1 host is no longer there: alder." in said
    assert (await region.get("vm-hosts/2/"))["maintenance"] is not None


@pytest.mark.slow
async def test_a_member_that_is_gone_does_not_stop_the_others(
    region: Deployment, client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alder", "birch"):
        async with database(region).transaction() as db:
            await apply_membership(db, region.hosts[name], evolve(FACTS, cluster_member=name))
    (cluster,) = await region.get("vm-clusters/")

    async def with_one_more(services: Services, path: Mapping[str, str]) -> ClusterView:
        found = await find_cluster(services, path)
        return evolve(found, host_ids=(99, *found.host_ids))

    async def with_none_there(services: Services, path: Mapping[str, str]) -> ClusterView:
        return evolve(await find_cluster(services, path), host_ids=(99,))

    monkeypatch.setattr(cluster_pages, "find_cluster", with_one_more)
    csrf = (await client.get(f"{UI}account")).csrf
    said = await note(client, await client.post(f"{UI}clusters/{cluster['id']}/refresh", None, csrf=csrf))
    assert "The refresh of 2 members of alder has begun. There is no VM host 99." in said
    refreshed = [one["host_name"] for one in await region.get("operations/") if one["kind"] == "refresh"]
    assert sorted(refreshed) == ["alder", "alder", "birch", "birch"]  # with the first ones
    monkeypatch.setattr(cluster_pages, "find_cluster", with_none_there)
    said = await note(client, await client.post(f"{UI}clusters/{cluster['id']}/refresh", None, csrf=csrf))
    assert "There is no VM host 99." in said
    assert "has begun" not in said
    assert "Tasks" not in said
