"""Hosts of a watched MAAS are taken over one by one, and given back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from innkeeper.request_body import Body
from regiond.maas.parallel import watch as parallel_watch
from tests.deployment.deployment import Deployment
from tests.integration.images.test_image_upload_command import logged_in
from tests.integration.maas.test_maas_import import plan, states
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.pages.test_web_maas import sent
from tests.integration.support import tables
from tests.integration.support.rigs.maas_parallel import (
    ADMIN_TOKEN,
    DEPLOYING,
    begin,
    bring,
    compare,
    differences,
    give_back,
    hosts,
    is_empty,
    maas,
    machines,
    marked,
    take_over,
    url,
    vms,
    watched,
)
from tests.integration.support.web_client import WebClient
from tests.maas_api.authentication import api_key
from tests.maas_api.simulated_site import machine, name_of
from tests.maas_api.state import Maas
from tests.maas_site.hosts import NORTH, SOUTH
from tests.support.rejections import rejection
from tests.support.waiting import eventually
from tests.unit.command.processes import on_terminal

__all__ = ["client", "maas", "url"]
pytestmark = pytest.mark.slow  # each begins with an import of two hosts
_AGED = "update maas_import set read_at = now() - interval '31 minutes' returning id"
_IMPORTED = "update machine set imported = $1 returning id"
_ALSO_WATCHES = """
    update maas_import i set watched = true, url = w.url, sealed_key = w.sealed_key
      from maas_import w where i.id = $1 and w.id = $2 returning i.id
"""


async def test_a_host_is_taken_over_beside_hosts_and_clusters_that_do_not_answer(
    innkeeper: Deployment, maas: Maas, url: str
) -> None:
    await watched(innkeeper, maas, url, unreachable=True)
    taken = await take_over(innkeeper, NORTH)
    assert (taken["state"], taken["error"]) == ("succeeded", None)
    assert await machines(innkeeper) == [name_of(NORTH, one) for one in range(3)]
    assert (await hosts(innkeeper))["kvm-north"]["maintenance"] is None


async def test_a_host_is_taken_over_and_given_back(innkeeper: Deployment, maas: Maas, url: str) -> None:
    await watched(innkeeper, maas, url)
    before = vms(innkeeper, NORTH), vms(innkeeper, SOUTH)
    assert (await take_over(innkeeper, NORTH))["state"] == "succeeded"
    names = [name_of(NORTH, number) for number in range(3)]
    assert await machines(innkeeper) == names
    found = await hosts(innkeeper)
    assert (found["kvm-north"]["maintenance"], bool(found["kvm-south"]["maintenance"])) == (None, True)
    assert marked(innkeeper, NORTH) == ["foreign-0001", "foreign-0002", "foreign-0003"]
    assert "was taken over at" in (await rejection(take_over(innkeeper, NORTH))).message
    planned = await give_back(innkeeper, NORTH, dry_run="true")
    assert (planned["machines"], await machines(innkeeper)) == (names, names)
    given = await give_back(innkeeper, NORTH)
    assert given["machines"] == names
    await eventually(lambda: is_empty(innkeeper))
    assert marked(innkeeper, NORTH) == []
    assert (await hosts(innkeeper))["kvm-north"]["maintenance"]["reason"] == found["kvm-south"]["maintenance"]["reason"]
    assert "in charge of kvm-north already" in (await rejection(give_back(innkeeper, NORTH))).message
    assert (await take_over(innkeeper, NORTH))["state"] == "succeeded"
    assert await machines(innkeeper) == names
    assert (vms(innkeeper, NORTH), vms(innkeeper, SOUTH)) == before
    assert maas.changes == []


async def test_only_the_maintenance_of_the_parallel_run_ends_with_it(
    innkeeper: Deployment, maas: Maas, url: str
) -> None:
    await watched(innkeeper, maas, url)
    found = await hosts(innkeeper)
    reason = found["kvm-north"]["maintenance"]["reason"]
    path = f"vm-hosts/{found['kvm-north']['id']}/"
    await innkeeper.post(path, op="end_maintenance")
    await innkeeper.post(path, op="maintenance", reason=reason)
    assert (await take_over(innkeeper, NORTH))["state"] == "succeeded"
    assert (await hosts(innkeeper))["kvm-north"]["maintenance"]["reason"] == reason
    await innkeeper.post(path, op="maintenance", reason="new disks")
    await give_back(innkeeper, NORTH)
    await eventually(lambda: is_empty(innkeeper))
    assert (await hosts(innkeeper))["kvm-north"]["maintenance"]["reason"] == "new disks"
    assert (await take_over(innkeeper, NORTH))["state"] == "succeeded"
    assert (await hosts(innkeeper))["kvm-north"]["maintenance"]["reason"] == "new disks"


async def test_a_maintenance_to_which_a_person_gives_a_reason_stays_at_the_takeover(
    innkeeper: Deployment, maas: Maas, url: str
) -> None:
    await watched(innkeeper, maas, url)
    found = await hosts(innkeeper)
    await innkeeper.post(f"vm-hosts/{found['kvm-north']['id']}/", op="maintenance")
    await innkeeper.post(f"vm-hosts/{found['kvm-south']['id']}/", op="maintenance", reason="new disks")
    for host in (NORTH, SOUTH):
        assert (await take_over(innkeeper, host))["state"] == "succeeded"
    found = await hosts(innkeeper)
    assert found["kvm-north"]["maintenance"] is None
    assert found["kvm-south"]["maintenance"]["reason"] == "new disks"


async def test_a_takeover_that_is_sent_again_with_its_key_is_the_same(
    innkeeper: Deployment, maas: Maas, url: str
) -> None:
    await watched(innkeeper, maas, url)
    sent_twice = [await take_over(innkeeper, NORTH, headers={"Idempotency-Key": "north"}) for _ in range(2)]
    assert [one["state"] for one in sent_twice] == ["succeeded", "succeeded"]
    assert len({one["id"] for one in sent_twice}) == 1


async def test_what_is_not_shown_of_taken_hosts_stops_no_takeover(
    innkeeper: Deployment, maas: Maas, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await watched(innkeeper, maas, url)
    assert (await take_over(innkeeper, NORTH))["state"] == "succeeded"
    for number in range(2):
        machine(maas, NORTH, number)["status"] = DEPLOYING
        machine(maas, SOUTH, number)["cpu_count"] = 4
    monkeypatch.setattr(parallel_watch, "MAX_DIFFERENCES", 1)
    assert [one[0] for one in await differences(innkeeper, begun)] == ["kvm-south"]
    assert "1 difference" in (await rejection(take_over(innkeeper, SOUTH))).message
    monkeypatch.setattr(parallel_watch, "MAX_DIFFERENCES", 0)
    assert "2 more differences" in (await rejection(take_over(innkeeper, SOUTH))).message
    for number in range(2):
        machine(maas, SOUTH, number)["cpu_count"] = 1
    found = await compare(innkeeper, begun)
    assert found["more"] == 2
    assert (await take_over(innkeeper, SOUTH))["state"] == "succeeded"


async def test_the_way_back_ends_with_the_first_change(innkeeper: Deployment, maas: Maas, url: str) -> None:
    await watched(innkeeper, maas, url)
    await take_over(innkeeper, NORTH)
    (first, *_) = await innkeeper.get("machines/")
    await innkeeper.post(f"machines/{first['system_id']}/", op="power_off")
    refused = await rejection(give_back(innkeeper, NORTH))
    assert f"{first['hostname']}: power (operation" in refused.message
    assert len(await machines(innkeeper)) == 3
    made = await innkeeper.compose((await hosts(innkeeper))["kvm-north"]["id"], hostname="mine")
    refused = await rejection(give_back(innkeeper, NORTH))
    assert "on 2 machines" in refused.message
    assert made["system_id"]


async def test_taking_over_is_refused_with_what_helps(innkeeper: Deployment, maas: Maas, url: str) -> None:
    begun = await watched(innkeeper, maas, url)
    machine(maas, NORTH, 1)["cpu_count"] = 4
    machine(maas, SOUTH, 1)["status"] = DEPLOYING
    await compare(innkeeper, begun)
    refused = await rejection(take_over(innkeeper, NORTH))
    assert "1 difference" in refused.message
    assert f"compare {begun['id']}" in refused.message
    at_work = await rejection(take_over(innkeeper, SOUTH, force="true"))
    assert f"{name_of(SOUTH, 1)} (Deploying)" in at_work.message
    assert await machines(innkeeper) == []
    assert (await take_over(innkeeper, NORTH, force="true"))["state"] == "succeeded"
    left_out = f"machines:{machine(maas, SOUTH, 1)['system_id']}=leave_out"
    assert (await take_over(innkeeper, SOUTH, force="true", choice=left_out))["state"] == "succeeded"
    assert len(await machines(innkeeper)) == 5


async def test_two_that_watch_one_maas_already_do_not_block_each_other(
    innkeeper: Deployment, maas: Maas, url: str
) -> None:
    body = Body(fields=[("url", url), ("key", api_key(maas, ADMIN_TOKEN))])
    before = (await innkeeper.api.send("POST", "maas-imports/", body=body)).json()
    begun = await watched(innkeeper, maas, url)
    await tables.sql(innkeeper, _ALSO_WATCHES, before["id"], begun["id"])
    await bring(innkeeper, begun)
    assert (await take_over(innkeeper, NORTH))["state"] == "succeeded"
    assert await machines(innkeeper) == [name_of(NORTH, one) for one in range(3)]


async def test_an_old_reading_is_no_ground_to_take_over(innkeeper: Deployment, maas: Maas, url: str) -> None:
    begun = await watched(innkeeper, maas, url)
    await tables.sql(innkeeper, _AGED)
    assert "31 minutes ago" in (await rejection(take_over(innkeeper, NORTH))).message
    await compare(innkeeper, begun)
    assert (await take_over(innkeeper, NORTH))["state"] == "succeeded"


async def test_a_host_that_no_maas_has_is_not_taken_over(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    for op in ("take_over", "give_back"):
        refused = await rejection(innkeeper.post(f"vm-hosts/{host['id']}/", op=op))
        assert "innkeeper import maas --watch" in refused.message


async def test_the_page_shows_hosts_and_differences_and_hands_over(
    innkeeper: Deployment, client: WebClient, maas: Maas, url: str
) -> None:
    begun = await watched(innkeeper, maas, url)
    place = f"settings/maas-imports/{begun['id']}"
    machine(maas, NORTH, 1)["cpu_count"] = 4
    text = await page(client, place)
    csrf = re.findall(r'name="csrf" value="([0-9a-f]+)"', text)[0]
    assert (await client.post(f"/MAAS/ui/{place}/compare", None, csrf=csrf)).status == 303
    text = await page(client, place)
    assert "foreign-0002" in text
    assert "Take kvm-north over" in text
    host = (await hosts(innkeeper))["kvm-north"]["id"]
    question = await page(client, f"{place}/hosts/{host}/take-over")
    assert "cores: in MAAS 4, here 1" in question
    assert (await sent(client, f"{place}/hosts/{host}/take-over", confirmed="yes")).status == 303

    async def is_taken() -> bool:
        return len(await machines(innkeeper)) == 3 and "Give kvm-north back" in await page(client, place)

    await eventually(is_taken)
    assert name_of(NORTH, 0) in await page(client, f"{place}/hosts/{host}/give-back")
    assert (await sent(client, f"{place}/hosts/{host}/give-back", confirmed="yes")).status == 303
    await eventually(lambda: is_empty(innkeeper))
    assert "Take kvm-north over" in await page(client, place)


async def test_a_host_that_was_taken_over_stays_so_in_the_next_import(
    innkeeper: Deployment, maas: Maas, url: str
) -> None:
    first = await watched(innkeeper, maas, url)
    for host in (NORTH, SOUTH):
        assert (await take_over(innkeeper, host))["state"] == "succeeded"
    await give_back(innkeeper, SOUTH)
    north = [name_of(NORTH, one) for one in range(3)]

    async def is_given_back() -> bool:
        return await machines(innkeeper) == north

    await eventually(is_given_back)
    await innkeeper.api.send("DELETE", f"maas-imports/{first['id']}/")
    await tables.sql(innkeeper, _IMPORTED, False)  # as if all had been released
    released = await begin(innkeeper, maas, url)
    assert [one["name"] for one in (await compare(innkeeper, released))["hosts"]] == ["kvm-north"]
    await innkeeper.api.send("DELETE", f"maas-imports/{released['id']}/")
    await tables.sql(innkeeper, _IMPORTED, True)
    second = await begin(innkeeper, maas, url)
    planned = states(await plan(innkeeper, second), "machines")
    assert [planned[name_of(host, 0)] for host in (NORTH, SOUTH)] == ["exists", "left_out"]
    await bring(innkeeper, second)
    found = {one["name"]: bool(one["taken_over"]) for one in (await compare(innkeeper, second))["hosts"]}
    assert found == {"kvm-north": True, "kvm-south": False}
    assert (await hosts(innkeeper))["kvm-north"]["maintenance"] is None
    assert await machines(innkeeper) == north
    assert "was taken over at" in (await rejection(take_over(innkeeper, NORTH))).message
    assert (await give_back(innkeeper, NORTH))["machines"] == north
    await eventually(lambda: is_empty(innkeeper))


async def test_commands_compare_and_hand_over(innkeeper: Deployment, tmp_path: Path, maas: Maas, url: str) -> None:
    begun = await watched(innkeeper, maas, url)
    machine(maas, SOUTH, 1)["cpu_count"] = 4
    await logged_in(innkeeper, tmp_path)
    for line in (
        f"maas-import compare {begun['id']}", "vm-host take-over kvm-north", "vm-host give-back kvm-north dry_run=true",
        f"maas-import differences {begun['id']}",
    ):  # fmt: skip
        ran = await on_terminal(tmp_path, "admin", *line.split(), given={})
        assert ran.status == 0, ran.out
        assert ("foreign-0002" in ran.out) == line.startswith("maas-import"), ran.out
    assert len(await machines(innkeeper)) == 3
