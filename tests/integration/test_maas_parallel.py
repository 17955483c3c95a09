"""A MAAS that is watched: its hosts come read-only, are compared, are taken over one by one, and go back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from common.maas.inventory import Origin, SourceKind
from innkeeper.arguments import Usage
from innkeeper.commands.maas_import import wanted
from innkeeper.request_body import Body
from regiond.maas.parallel import watch as parallel_watch
from tests.deployment.deployment import Deployment
from tests.integration import tables
from tests.integration.adoption import rows
from tests.integration.test_image_upload_command import logged_in
from tests.integration.test_maas_import import apply, inventory, plan, states
from tests.integration.test_maas_import import begin as begin_dump
from tests.integration.test_web_lost_storage import client, page
from tests.integration.test_web_maas import sent
from tests.integration.web_client import WebClient
from tests.maas_api.authentication import api_key
from tests.maas_api.messages import JSON, Answer
from tests.maas_api.server import serving
from tests.maas_api.simulated_site import machine, name_of, remove, simulated_maas
from tests.maas_api.state import Maas
from tests.maas_site.hosts import NAMES, NORTH, SOUTH
from tests.rejections import invalid_fields, rejection
from tests.unit.command.processes import on_terminal
from tests.waiting import eventually

__all__ = ["client"]
pytestmark = pytest.mark.slow  # each begins with an import of two hosts
ADMIN_TOKEN = 1
_AGED = "update maas_import set read_at = now() - interval '16 minutes' returning id"
_IMPORTED = "update machine set imported = $1 returning id"
_ALSO_WATCHES = """
    update maas_import i set watched = true, url = w.url, sealed_key = w.sealed_key
      from maas_import w where i.id = $1 and w.id = $2 returning i.id
"""
DEPLOYING = 9


@pytest.fixture
def maas() -> Maas:
    return simulated_maas()


@pytest.fixture
def url(maas: Maas) -> Iterator[str]:
    with serving(maas) as found:
        yield found


async def begin(innkeeper: Deployment, maas: Maas, url: str) -> Any:
    body = Body(fields=[("url", url), ("key", api_key(maas, ADMIN_TOKEN)), ("watch", "true")])
    return (await innkeeper.api.send("POST", "maas-imports/", body=body)).json()


async def watched(innkeeper: Deployment, maas: Maas, url: str, *, unreachable: bool = False) -> Any:
    """Returns the import, applied: two hosts are here; the others are left out, or `unreachable`."""
    begun = await begin(innkeeper, maas, url)
    await bring(innkeeper, begun, unreachable=unreachable)
    return begun


async def bring(innkeeper: Deployment, begun: Any, *, unreachable: bool = False) -> None:
    document = await plan(innkeeper, begun)
    for kind, objects in document["objects"].items():
        for one in objects:
            if kind == "hosts" and one["source_id"] not in {str(NORTH), str(SOUTH)} and not unreachable:
                one["choice"] = "leave_out"
            elif one["state"] == "conflict" and not one["choice"]:
                one["choice"] = next(choice for choice in one["choices"] if not choice.endswith("="))
    operation = await apply(innkeeper, begun, document)
    assert operation["state"] == ("failed" if unreachable else "succeeded"), operation["error"]


async def compare(innkeeper: Deployment, begun: Any) -> Any:
    return await innkeeper.post(f"maas-imports/{begun['id']}/", op="compare")


async def differences(innkeeper: Deployment, begun: Any) -> list[tuple[str, str, str, str, str]]:
    found = await compare(innkeeper, begun)
    return [(one["name"], one["vm"], one["kind"], one["in_maas"], one["here"]) for one in found["differences"]]


async def hosts(innkeeper: Deployment) -> dict[str, Any]:
    return {one["name"]: one for one in await innkeeper.get("vm-hosts/")}


async def take_over(innkeeper: Deployment, host: int, **fields: Any) -> Any:
    found = (await hosts(innkeeper))[NAMES[host]]
    return await innkeeper.post(f"vm-hosts/{found['id']}/", op="take_over", **fields)


async def give_back(innkeeper: Deployment, host: int, **fields: Any) -> Any:
    found = (await hosts(innkeeper))[NAMES[host]]
    return await innkeeper.post(f"vm-hosts/{found['id']}/", op="give_back", **fields)


async def machines(innkeeper: Deployment) -> list[str]:
    return sorted(one["hostname"] for one in await innkeeper.get("machines/"))


def vms(innkeeper: Deployment, host: int) -> list[Any]:
    """The guests of the simulated host without their markers."""
    statement = "select guest_id, name, power, cores, memory_mib from guest order by name"
    return rows(innkeeper, statement, name=NAMES[host])


def marked(innkeeper: Deployment, host: int) -> list[str]:
    statement = "select name from guest where machine_id is not null order by name"
    return [one[0] for one in rows(innkeeper, statement, name=NAMES[host])]


async def test_a_host_is_taken_over_beside_hosts_and_clusters_that_do_not_answer(
    innkeeper: Deployment, maas: Maas, url: str
) -> None:
    await watched(innkeeper, maas, url, unreachable=True)
    taken = await take_over(innkeeper, NORTH)
    assert (taken["state"], taken["error"]) == ("succeeded", None)
    assert await machines(innkeeper) == [name_of(NORTH, one) for one in range(3)]
    assert (await hosts(innkeeper))["kvm-north"]["maintenance"] is None


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
    watch = innkeeper.region.components.maas_parallel_watch
    first = await innkeeper.get(f"maas-imports/{begun['id']}/", op="differences")
    assert "503" in first["problem"]
    await watch.look(every_s=0.0)
    assert (await innkeeper.get(f"maas-imports/{begun['id']}/"))["problem_since"] == first["problem_since"]
    del maas.instead["version/"]
    await watch.look(every_s=0.0)
    mended = await innkeeper.get(f"maas-imports/{begun['id']}/", op="differences")
    assert (mended["problem"], mended["problem_since"]) == ("", None)
    assert mended["read"] > first["read"]


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
    await eventually(lambda: _is_empty(innkeeper))
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
    await eventually(lambda: _is_empty(innkeeper))
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


async def _is_empty(innkeeper: Deployment) -> bool:
    return not await machines(innkeeper)


async def test_a_takeover_that_is_sent_again_with_its_key_is_the_same(
    innkeeper: Deployment, maas: Maas, url: str
) -> None:
    await watched(innkeeper, maas, url)
    sent_twice = [await take_over(innkeeper, NORTH, headers={"Idempotency-Key": "north"}) for _ in range(2)]
    assert [one["state"] for one in sent_twice] == ["succeeded", "succeeded"]
    assert len({one["id"] for one in sent_twice}) == 1


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
    assert "16 minutes ago" in (await rejection(take_over(innkeeper, NORTH))).message
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
    await eventually(lambda: _is_empty(innkeeper))
    assert "Take kvm-north over" in await page(client, place)


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
    await innkeeper.region.components.maas_parallel_watch.look(every_s=0.0)
    assert maas.requests == []
    assert (await hosts(innkeeper))["kvm-north"]["maintenance"]


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
    await eventually(lambda: _is_empty(innkeeper))


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


def test_the_command_watches_a_running_maas_only() -> None:
    assert wanted(["--url", "http://maas:5240/MAAS", "--key", "a:b:c", "--watch"]).watch
    with pytest.raises(Usage, match="only a running MAAS"):
        wanted(["--dump", "maas.sql", "--watch"])
