"""A MAAS that is watched: its hosts come read-only, and what it says of them is compared with what they report."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.maas.inventory import Origin, SourceKind
from innkeeper.arguments import Usage
from innkeeper.maas_import.command import wanted
from innkeeper.request_body import Body
from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_import import apply, inventory, plan, states
from tests.integration.maas.test_maas_import import begin as begin_dump
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.pages.test_web_maas import sent
from tests.integration.support.rigs.maas_parallel import (
    ADMIN_TOKEN,
    DEPLOYING,
    begin,
    compare,
    differences,
    hosts,
    maas,
    machines,
    marked,
    parallel_watch,
    take_over,
    url,
    watched,
)
from tests.integration.support.web_client import WebClient
from tests.maas_api.authentication import api_key
from tests.maas_api.messages import JSON, Answer
from tests.maas_api.simulated_site import machine, name_of, remove
from tests.maas_api.state import Maas
from tests.maas_site.hosts import NORTH, SOUTH
from tests.support.rejections import invalid_fields, rejection

__all__ = ["client", "maas", "url"]
pytestmark = pytest.mark.slow  # each begins with an import of two hosts


async def test_hosts_of_a_watched_maas_come_read_only(innkeeper: Deployment, maas: Maas, url: str) -> None:
    begun = await watched(innkeeper, maas, url)
    found = await hosts(innkeeper)
    assert sorted(found) == ["kvm-north", "kvm-south"]
    for one in found.values():
        assert f"MAAS at {url} is in charge" in one["maintenance"]["reason"]
    assert await machines(innkeeper) == []
    refused = await rejection(innkeeper.compose(found["kvm-north"]["id"], hostname="mine"))
    assert "maintenance" in refused.message
    again = await plan(innkeeper, begun)
    assert states(again, "machines")[name_of(NORTH, 0)] == "left_out"
    assert {one["system_id"] for one in await innkeeper.get("virtual-machines/")} == {None}
    assert marked(innkeeper, NORTH) == marked(innkeeper, SOUTH) == []
    assert maas.changes == []
    assert (begun["watched"], api_key(maas, ADMIN_TOKEN) in str(begun)) == (True, False)


async def test_only_a_running_maas_is_watched(innkeeper: Deployment) -> None:
    wrong = innkeeper.api.send("POST", "maas-imports/", body=Body(fields=[("watch", "true")]))
    assert "watch" in await invalid_fields(wrong)


async def test_what_differs_is_told_with_since_when(innkeeper: Deployment, maas: Maas, url: str) -> None:
    begun = await watched(innkeeper, maas, url)
    assert await differences(innkeeper, begun) == []
    machine(maas, NORTH, 0)["power_state"] = "off"
    machine(maas, NORTH, 1)["cpu_count"] = 4
    machine(maas, SOUTH, 0)["status"] = DEPLOYING
    machine(maas, SOUTH, 1)["instance_power_parameters"] = {"instance_name": "gone"}
    maas.rows.one("virtualmachine", machine(maas, SOUTH, 2)["id"]).update(pinned_cores=[0], hugepages_backed=True)
    expected = [
        ("kvm-north", "foreign-0001", "power_state", "off", "on"),
        ("kvm-north", "foreign-0002", "cores", "4", "1"),
        ("kvm-south", "foreign-0001", "in_motion", "Deploying", ""),
        ("kvm-south", "foreign-0002", "only_on_host", "", "VM foreign-0002"),
        ("kvm-south", "foreign-0003", "huge_pages", "yes", "no"),
        ("kvm-south", "foreign-0003", "pinned_cores", "0 (NUMA node 0)", "none"),
        ("kvm-south", "gone", "only_in_maas", f"machine {name_of(SOUTH, 1)}", ""),
    ]
    assert await differences(innkeeper, begun) == expected
    first = await innkeeper.get(f"maas-imports/{begun['id']}/", op="differences")
    machine(maas, NORTH, 1)["cpu_count"] = 5
    machine(maas, NORTH, 0)["power_state"] = "on"
    second = await compare(innkeeper, begun)
    assert second["differences"][0]["in_maas"] == "5"
    assert [one["since"] for one in second["differences"]] == [one["since"] for one in first["differences"][1:]]
    assert maas.changes == []


async def test_a_maas_that_does_not_answer_is_told(innkeeper: Deployment, maas: Maas, url: str) -> None:
    begun = await watched(innkeeper, maas, url)
    maas.instead["version/"] = Answer(status=503, body=b"{}", content_type=JSON)
    await rejection(compare(innkeeper, begun))
    watch = parallel_watch(innkeeper)
    first = await innkeeper.get(f"maas-imports/{begun['id']}/", op="differences")
    assert "503" in first["problem"]
    await watch.look(every_s=0.0)
    assert (await innkeeper.get(f"maas-imports/{begun['id']}/"))["problem_since"] == first["problem_since"]
    del maas.instead["version/"]
    await watch.look(every_s=0.0)
    mended = await innkeeper.get(f"maas-imports/{begun['id']}/", op="differences")
    assert (mended["problem"], mended["problem_since"]) == ("", None)
    assert mended["read"] > first["read"]


async def test_a_host_that_was_taken_over_says_what_maas_still_has_of_it(
    innkeeper: Deployment, client: WebClient, maas: Maas, url: str
) -> None:
    begun = await watched(innkeeper, maas, url)
    before = {one["name"]: one for one in (await compare(innkeeper, begun))["hosts"]}
    still = {(one["taken_over"], one["in_maas"], one["machines_in_maas"]) for one in before.values()}
    assert still == {(None, True, 3)}
    assert (await take_over(innkeeper, NORTH))["state"] == "succeeded"
    machine(maas, NORTH, 0)["status"] = DEPLOYING
    gone = machine(maas, NORTH, 1)
    machine(maas, NORTH, 2)["power_state"] = "off"
    remove(maas, NORTH, 1)
    found = await compare(innkeeper, begun)
    assert [(one["vm"], one["kind"], one["here"]) for one in found["differences"]] == [
        ("foreign-0001", "in_motion", ""), ("foreign-0002", "deleted_in_maas", f"machine {gone['system_id']}"),
    ]  # fmt: skip
    (host,) = [one for one in found["hosts"] if one["name"] == "kvm-north"]
    assert (bool(host["taken_over"]), host["in_maas"], host["machines_in_maas"]) == (True, True, 2)
    shown = await page(client, f"settings/maas-imports/{begun['id']}")
    assert "MAAS still lists it, VMs there: 2" in shown
    assert "deleted in MAAS" in shown


async def test_a_watched_maas_is_imported_by_no_other_import(innkeeper: Deployment, maas: Maas, url: str) -> None:
    first = await begin(innkeeper, maas, url)
    maas.requests.clear()
    for address, watch in ((url, "true"), (url.replace("/MAAS", "/MAAS/r/machines"), "false")):
        body = Body(fields=[("url", address), ("key", api_key(maas, ADMIN_TOKEN)), ("watch", watch)])
        refused = await rejection(innkeeper.api.send("POST", "maas-imports/", body=body))
        assert f"Import {first['id']} watches this MAAS, at {url}" in refused.message
        assert f"maas-import compare {first['id']}" in refused.message
        assert maas.requests == []
    assert first["maas_uuid"]
    dump = evolve(inventory(), origin=Origin(kind=SourceKind.DUMP, label="maas.sql", uuid=first["maas_uuid"]))
    refused = await rejection(begin_dump(innkeeper, dump))
    assert f"Import {first['id']} watches" in refused.message
    assert len(await innkeeper.get("maas-imports/")) == 1


async def test_an_import_of_before_adopts_nothing_of_a_watched_maas(
    innkeeper: Deployment, maas: Maas, url: str
) -> None:
    body = Body(fields=[("url", url), ("key", api_key(maas, ADMIN_TOKEN))])
    before = (await innkeeper.api.send("POST", "maas-imports/", body=body)).json()
    begun = await watched(innkeeper, maas, url)
    document = await plan(innkeeper, before)
    (reason,) = {
        one["reason"] for one in document["objects"]["machines"] if one["name"] in {name_of(NORTH, n) for n in range(3)}
    }  # fmt: skip
    assert f"MAAS at {url}, which another import watches, is in charge of kvm-north" in reason
    for objects in document["objects"].values():
        for one in objects:
            if one["state"] == "conflict" and not one["choice"]:
                one["choice"] = next(choice for choice in one["choices"] if not choice.endswith("="))
    assert f"Import {begun['id']} watches" in (await rejection(apply(innkeeper, before, document))).message
    assert await machines(innkeeper) == []


async def test_a_watched_import_is_begun_on_the_page(
    innkeeper: Deployment, client: WebClient, maas: Maas, url: str
) -> None:
    fields = {"url": url, "key": api_key(maas, ADMIN_TOKEN), "watch": "true"}
    assert (await sent(client, "settings/new-maas-import", **fields)).status == 303
    (found,) = await innkeeper.get("maas-imports/")
    assert found["watched"] is True
    assert "Parallel run" in await page(client, f"settings/maas-imports/{found['id']}")


async def test_a_deleted_import_is_asked_no_more(innkeeper: Deployment, maas: Maas, url: str) -> None:
    begun = await watched(innkeeper, maas, url)
    await innkeeper.api.send("DELETE", f"maas-imports/{begun['id']}/")
    maas.requests.clear()
    await parallel_watch(innkeeper).look(every_s=0.0)
    assert maas.requests == []
    assert (await hosts(innkeeper))["kvm-north"]["maintenance"]


def test_the_command_watches_a_running_maas_only() -> None:
    assert wanted(["--url", "http://maas:5240/MAAS", "--key", "a:b:c", "--watch"]).watch
    with pytest.raises(Usage, match="only a running MAAS"):
        wanted(["--dump", "maas.sql", "--watch"])
