"""What the removal of a host destroys: never an adopted VM unless the caller says so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import adopt, guests, markers, volumes
from tests.integration.support.tables import count, is_count
from tests.support.rejections import invalid_fields
from tests.support.waiting import settle


@pytest.fixture
def host(innkeeper: Deployment) -> Any:
    """Has a machine that Innkeeper created, `web`; an adopted one, foreign-0001; and a foreign VM, foreign-0002."""

    async def prepared() -> Any:
        host = await innkeeper.add_simulated(guests=2, cores=8)
        await innkeeper.compose(host["id"], hostname="web", cores=1, memory=1024)
        await adopt(innkeeper, host, guests="foreign-0001")
        return host

    return settle(prepared())


def names(plan: Any, fate: str) -> list[tuple[str, bool, bool]]:
    """Returns (name, is a machine, is adopted) of the guests that are `deleted` or `kept`."""
    return sorted((guest["name"], guest["system_id"] is not None, guest["adopted"]) for guest in plan[fate])


WEB, ADOPTED, FOREIGN = ("web", True, False), ("foreign-0001", True, True), ("foreign-0002", False, False)


async def test_decompose_keeps_adopted_and_foreign_vms(innkeeper: Deployment, host: Any) -> None:
    before = [guest for guest in guests(innkeeper) if guest[1] != "web"]
    assert (await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true")).status == 204
    assert guests(innkeeper) == before
    assert await innkeeper.get("machines/") == []


@pytest.mark.slow
async def test_a_kept_adopted_machine_returns_with_its_host(innkeeper: Deployment, host: Any) -> None:
    await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true")
    await innkeeper.add_simulated(guests=2, cores=8)
    (machine,) = await innkeeper.get("machines/")
    assert machine["hostname"] == "foreign-0001"


async def test_destroy_adopted_destroys_them_and_no_foreign_vm(innkeeper: Deployment, host: Any) -> None:
    answer = await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true", destroy_adopted="true")
    assert answer.status == 204
    assert list(markers(innkeeper)) == ["foreign-0002"]


async def test_destroy_adopted_alone_is_rejected(innkeeper: Deployment, host: Any) -> None:
    fields = await invalid_fields(innkeeper.delete(f"vm-hosts/{host['id']}/", destroy_adopted="true"))
    assert list(fields) == ["destroy_adopted"]
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["state"] == "ready"


@pytest.mark.parametrize(
    ("options", "deleted", "kept"),
    [
        ({}, [], [ADOPTED, FOREIGN, WEB]),
        ({"decompose": "true"}, [WEB], [ADOPTED, FOREIGN]),
        ({"decompose": "true", "destroy_adopted": "true"}, [ADOPTED, WEB], [FOREIGN]),
    ],
    ids=["plain", "decompose", "destroy_adopted"],
)
async def test_a_dry_run_lists_what_goes_and_what_stays(
    innkeeper: Deployment, host: Any, options: dict[str, str], deleted: Any, kept: Any
) -> None:
    before = guests(innkeeper), volumes(innkeeper)
    answer = await innkeeper.delete(f"vm-hosts/{host['id']}/", dry_run="true", **options)
    plan = answer.json()
    assert (answer.status, plan["name"], names(plan, "deleted"), names(plan, "kept")) == (200, "sim", deleted, kept)
    (web,) = [guest for guest in plan["deleted"] + plan["kept"] if guest["name"] == "web"]
    assert [(volume["name"], volume["storage_pool"]) for volume in web["volumes"]] == [
        (name, pool) for pool, name, _ in volumes(innkeeper) if name.startswith("ik-")
    ]
    assert (guests(innkeeper), volumes(innkeeper)) == before
    assert await is_count(innkeeper, "machine", 2)
    assert await count(innkeeper, "operation where kind = 'remove_host'") == 0


@pytest.mark.slow
async def test_the_result_lists_what_was_deleted_and_kept(innkeeper: Deployment, host: Any) -> None:
    volume = next(name for _, name, _ in volumes(innkeeper) if name.startswith("ik-"))
    answer = await innkeeper.send("DELETE", f"vm-hosts/{host['id']}/", query=[("decompose", "true")], headers=ASYNC)
    operation_id = answer.json()["id"]
    assert await innkeeper.ended(operation_id) == "succeeded"
    result = (await innkeeper.get(f"operations/{operation_id}/"))["result"]
    assert result["deleted"] == [f"web (machine: default/{volume})"]
    assert [text.split(" (")[0] for text in sorted(result["kept"])] == ["foreign-0001", "foreign-0002"]


async def test_kept_disks_stay_on_a_removed_host_and_are_named_before(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8)
    machine = await innkeeper.compose(host["id"], hostname="web", cores=1, memory=1024)
    path = f"machines/{machine['system_id']}/"
    await innkeeper.post(path, op="add_disk", size=1)
    await innkeeper.post(path, op="remove_disk", disk="sdb", keep="true")
    await innkeeper.delete(path)
    ((pool, volume, _),) = before = volumes(innkeeper)
    plan = (await innkeeper.delete(f"vm-hosts/{host['id']}/", dry_run="true")).json()
    (effect,) = [one for one in plan["effects"] if one.startswith("Kept disks")]
    assert "(1)" in effect
    assert f"({pool}/{volume})" in effect
    await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true")
    await innkeeper.add_simulated(cores=8)
    assert [disk["volume"] for disk in await innkeeper.get("kept-disks/")] == [volume]
    assert volumes(innkeeper) == before
