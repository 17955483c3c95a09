"""Tags of machines and VM hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from common.errors import NotFound
from tests.deployment.deployment import Deployment
from tests.integration.support.users import as_user
from tests.support.rejections import invalid_fields, rejection


async def update_nodes(innkeeper: Deployment, name: str, **nodes: Any) -> Mapping[str, int]:
    found: Mapping[str, int] = await innkeeper.post(f"tags/{name}/", op="update_nodes", **nodes)
    return found


async def tags_of(innkeeper: Deployment, system_id: str) -> list[str]:
    found: list[str] = (await innkeeper.get(f"machines/{system_id}/"))["tag_names"]
    return found


async def names(innkeeper: Deployment) -> list[str]:
    return [tag["name"] for tag in await innkeeper.get("tags/")]


async def test_a_tag_is_created_read_changed_and_deleted(innkeeper: Deployment) -> None:
    created = await innkeeper.post("tags/", name="gpu", comment="Has a GPU", definition="//node", kernel_opts="quiet")
    assert created == {
        "name": "gpu",
        "comment": "Has a GPU",
        "definition": "//node",
        "kernel_opts": "quiet",
        "resource_uri": "/MAAS/api/2.0/tags/gpu/",
    }
    assert await innkeeper.get("tags/gpu/") == created
    changed = await innkeeper.put("tags/gpu/", comment="", kernel_opts="")
    assert changed == {**created, "comment": "", "kernel_opts": ""}
    assert (await innkeeper.delete("tags/gpu/")).status == 204
    with pytest.raises(NotFound, match="gpu"):
        await innkeeper.get("tags/gpu/")
    assert (await innkeeper.post("tags/", name="plain"))["kernel_opts"] == ""


async def test_names_are_those_of_maas_and_unique(innkeeper: Deployment) -> None:
    await innkeeper.post("tags/", name="taken_1-A")
    for name in ("taken_1-A", "a b", "a,b", "ä", "x" * 257):
        assert [*await invalid_fields(innkeeper.post("tags/", name=name))] == ["name"]
    await innkeeper.post("tags/", name="other")
    assert [*await invalid_fields(innkeeper.put("tags/other/", name="taken_1-A"))] == ["name"]
    assert (await innkeeper.put("tags/other/", name="other", comment="same"))["comment"] == "same"


async def test_names_stand_for_system_ids(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("alder")
    one, two = [(await innkeeper.compose(host["id"], hostname=name))["system_id"] for name in ("one", "alder")]
    await innkeeper.post("tags/", name="web")
    assert await update_nodes(innkeeper, "web", add=["one", one, "alder"]) == {"added": 2, "removed": 0}
    nodes = [node["system_id"] for node in await innkeeper.get("tags/web/", op="nodes")]
    assert sorted(nodes) == sorted([one, two])  # of a machine and a host with one name, the machine
    assert await update_nodes(innkeeper, "web", remove=["one", host["host"]["system_id"]]) == {"added": 0, "removed": 2}


async def test_machines_and_hosts_are_tagged_and_untagged(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    one, two = [(await innkeeper.compose(host["id"], hostname=name))["system_id"] for name in ("one", "two")]
    await innkeeper.post("tags/", name="web")
    assert await update_nodes(innkeeper, "web", add=[one, two, host["host"]["system_id"]]) == {"added": 3, "removed": 0}
    assert await update_nodes(innkeeper, "web", add=one, remove=[two, "gone11"]) == {"added": 1, "removed": 1}
    assert (await tags_of(innkeeper, one)).count("web") == 1
    assert "web" not in await tags_of(innkeeper, two)
    assert "web" in (await innkeeper.get(f"vm-hosts/{host['id']}/"))["tags"]
    assert [machine["system_id"] for machine in await innkeeper.get("tags/web/", op="machines")] == [one]
    nodes = await innkeeper.get("tags/web/", op="nodes")
    assert [node["system_id"] for node in nodes] == [one, host["host"]["system_id"]]
    assert "web" in await tags_of(innkeeper, host["host"]["system_id"])
    problems = await invalid_fields(innkeeper.post("tags/web/", op="update_nodes", add="gone11", remove=one))
    assert "'gone11'" in problems["add"][0]
    assert "web" in await tags_of(innkeeper, one)


async def test_machines_are_selected_by_tags(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    for hostname, tags in (("one", ["web"]), ("two", ["web", "old"]), ("three", [])):
        composed = await innkeeper.compose(host["id"], hostname=hostname)
        for tag in tags:
            if tag not in await names(innkeeper):
                await innkeeper.post("tags/", name=tag)
            await update_nodes(innkeeper, tag, add=composed["system_id"])
    for filters, expected in (
        ({"tags": "web"}, ["one", "two"]),
        ({"not_tags": "old"}, ["one", "three"]),
        ({"tags": "web", "not_tags": "old"}, ["one"]),
    ):
        assert [
            machine["hostname"] for machine in await innkeeper.get(f"machines/?{urlencode(filters)}")
        ] == expected, filters
    assert "tags" in await invalid_fields(innkeeper.get("machines/?tags=none"))
    page = await innkeeper.get("machines/?not_tags=old&limit=1&after=one")
    assert [machine["hostname"] for machine in page] == ["three"]
    allocated = await innkeeper.post("machines/", op="allocate", tags="web", not_tags="old")
    assert allocated["hostname"] == "one"


async def test_tags_of_hosts_are_listed_and_pass_to_machines_at_compose(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.put(f"vm-hosts/{host['id']}/", tags="fast")
    assert await names(innkeeper) == ["fast", "pod-console-logging", "simulated"]
    before = (await innkeeper.compose(host["id"]))["system_id"]
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="add_tag", tag="new")
    assert await tags_of(innkeeper, before) == ["fast", "simulated"]
    tags = (await innkeeper.get(f"vm-hosts/{host['id']}/"))["tags"]
    assert tags == ["fast", "pod-console-logging", "simulated", "new"]
    assert (await innkeeper.post("tags/", name="fast", comment="NVMe"))["comment"] == "NVMe"


async def test_a_renamed_or_deleted_tag_is_so_on_machines_and_hosts(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.put(f"vm-hosts/{host['id']}/", tags="fast")
    machine = (await innkeeper.compose(host["id"]))["system_id"]
    assert (await innkeeper.put("tags/fast/", name="quick"))["name"] == "quick"
    assert await tags_of(innkeeper, machine) == ["quick", "simulated"]
    assert "quick" in (await innkeeper.get(f"vm-hosts/{host['id']}/"))["tags"]
    (effect,) = (await innkeeper.delete("tags/quick/?dry_run=true")).json()["effects"]
    assert "1 machine and 1 VM host" in effect
    assert "quick" in await names(innkeeper)
    await innkeeper.delete("tags/quick/")
    assert await tags_of(innkeeper, machine) == ["simulated"]
    assert await names(innkeeper) == ["pod-console-logging", "simulated"]


async def test_the_tag_of_all_hosts_stays(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    for change in (
        innkeeper.delete("tags/pod-console-logging/"),
        innkeeper.put("tags/pod-console-logging/", name="other"),
    ):
        assert "Every VM host has the tag" in (await rejection(change)).message


async def test_tags_survive_a_refresh_and_the_return_of_a_host(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = (await innkeeper.compose(host["id"]))["system_id"]
    await innkeeper.post("tags/", name="web")
    await update_nodes(innkeeper, "web", add=machine)
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert "web" in await tags_of(innkeeper, machine)
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    await innkeeper.put("tags/web/", name="www")
    await innkeeper.add_simulated()
    assert "www" in await tags_of(innkeeper, machine)


async def test_users_read_tags_but_do_not_change_them(innkeeper: Deployment) -> None:
    await innkeeper.post("tags/", name="web")
    ann = await as_user(innkeeper, "ann")
    assert "web" in await names(ann)
    for change in (ann.post("tags/", name="x"), ann.put("tags/web/", comment="x"), ann.delete("tags/web/")):
        assert (await rejection(change)).details["status"] == 403


async def test_tags_that_look_like_numbers_are_paged_to_the_end(innkeeper: Deployment) -> None:
    for name in ("2024", "7", "gpu"):
        await innkeeper.post("tags/", name=name)
    found: list[str] = []
    for _ in range(5):
        page = await innkeeper.get(f"tags/?limit=1&after={found[-1] if found else ''}")
        found += [tag["name"] for tag in page]
    assert found == ["2024", "7", "gpu"]
