"""Dry runs of deletions: they list what goes and stays, change nothing, and refuse what the deletion refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.machines.test_machine_lock import make_deployed
from tests.integration.support.adoption import adopt, guests, volumes
from tests.integration.support.tables import counts
from tests.support.rejections import rejection
from tests.support.waiting import settle


@pytest.fixture
def host(innkeeper: Deployment) -> Any:
    async def ready() -> Any:
        return await innkeeper.add_simulated(guests=2, cores=8)

    return settle(ready())


async def plan_of(innkeeper: Deployment, method: str, path: str, op: str | None = None, **fields: Any) -> Any:
    """Returns the plan of a dry run. Checks that it changed nothing."""
    before = await state(innkeeper)
    plan = await dry(innkeeper, method, path, op, **fields)
    assert await state(innkeeper) == before
    return plan


async def state(innkeeper: Deployment) -> Any:
    found = await counts(innkeeper)
    return (found, guests(innkeeper), volumes(innkeeper)) if found["vm_host"] else found


async def dry(innkeeper: Deployment, method: str, path: str, op: str | None = None, **fields: Any) -> Any:
    if method == "DELETE":
        answer = await innkeeper.delete(path, dry_run="true", **fields)
        assert answer.status == 200
        return answer.json()
    return await innkeeper.post(path, op=op, dry_run="true", **fields)


async def refused_alike(innkeeper: Deployment, method: str, path: str, op: str | None = None, **fields: Any) -> str:
    """Returns the message with which the call and its dry run are refused."""
    dry_error = await rejection(dry(innkeeper, method, path, op, **fields))
    if method == "DELETE":
        error = await rejection(innkeeper.delete(path, **fields))
    else:
        error = await rejection(innkeeper.post(path, op=op, **fields))
    assert (dry_error.message, dry_error.details) == (error.message, error.details)
    return error.message


def names(plan: Any, fate: str) -> list[str]:
    return [one["name"] for one in plan[fate]]


@pytest.mark.slow
async def test_a_deletion_of_a_machine_names_vm_and_volumes(innkeeper: Deployment, host: Any) -> None:
    machine = await innkeeper.compose(host["id"], hostname="web", cores=1, memory=1024)
    await innkeeper.put(f"machines/{machine['system_id']}/", hostname="renamed")
    plan = await plan_of(innkeeper, "DELETE", f"machines/{machine['system_id']}/")
    (guest,) = plan["deleted"]
    assert (plan["name"], plan["confirm"], plan["kept"]) == ("renamed", "name", [])
    assert (guest["host"], guest["guest_name"], guest["adopted"]) == ("sim", "web", False)
    stored = [(pool, name) for pool, name, _ in volumes(innkeeper) if name.startswith("ik-")]
    assert [(volume["storage_pool"], volume["name"]) for volume in guest["volumes"]] == stored
    assert (await innkeeper.delete(f"machines/{machine['system_id']}/")).status == 204


async def test_a_deletion_of_an_adopted_machine_says_so(innkeeper: Deployment, host: Any) -> None:
    await adopt(innkeeper, host, guests="foreign-0001")
    (machine,) = await innkeeper.get("machines/")
    plan = await plan_of(innkeeper, "DELETE", f"machines/{machine['system_id']}/")
    assert names(plan, "deleted") == ["foreign-0001"]
    assert "was adopted" in plan["effects"][0]
    forget = await plan_of(innkeeper, "POST", f"machines/{machine['system_id']}/", "forget")
    assert (names(forget, "deleted"), names(forget, "kept"), forget["confirm"]) == ([], ["foreign-0001"], "yes")
    assert "stays on sim" in forget["effects"][0]


@pytest.mark.slow
async def test_a_locked_or_busy_machine_refuses_the_dry_run_too(innkeeper: Deployment, host: Any) -> None:
    machine = await innkeeper.compose(host["id"], hostname="web", cores=1, memory=1024)
    path = f"machines/{machine['system_id']}/"
    await make_deployed(innkeeper, machine)
    await innkeeper.post(path, op="lock")
    assert "is locked" in await refused_alike(innkeeper, "DELETE", path)
    await innkeeper.post(path, op="unlock")
    with innkeeper.held("power"):
        await innkeeper.begin(path, op="power_on")
        dry_error = await rejection(dry(innkeeper, "DELETE", path))
    assert dry_error.details["status"] in (409, 503)


@pytest.mark.slow
async def test_a_release_says_what_it_destroys(innkeeper: Deployment, host: Any) -> None:
    await innkeeper.compose(host["id"], hostname="ready", cores=1, memory=1024)
    kept = await innkeeper.post("machines/", op="allocate", name="ready")
    composed = await innkeeper.post("machines/", op="allocate")
    paths = [f"machines/{one['system_id']}/" for one in (kept, composed)]
    plan = await plan_of(innkeeper, "POST", paths[0], "release")
    assert (names(plan, "deleted"), names(plan, "kept"), plan["confirm"]) == ([], ["ready"], "yes")
    is_stock = "Then it is stock: operators of the pool default can allocate it."
    assert plan["effects"] == [f"ready stays off and loses its owner admin. {is_stock}"]
    plan = await plan_of(innkeeper, "POST", paths[1], "release")
    assert (names(plan, "deleted"), plan["confirm"]) == ([composed["hostname"]], "name")
    ids = [kept["system_id"], composed["system_id"]]
    plan = await plan_of(innkeeper, "POST", "machines/", "release", machines=ids)
    assert (plan["name"], names(plan, "deleted"), names(plan, "kept")) == (
        "2 machines", [composed["hostname"]], ["ready"],
    )  # fmt: skip
    await make_deployed(innkeeper, composed)
    await innkeeper.post(paths[1], op="lock")
    assert "is locked" in await refused_alike(innkeeper, "POST", "machines/", "release", machines=ids)


async def test_a_subnet_names_its_ranges_and_refuses_while_used(innkeeper: Deployment) -> None:
    subnet = await innkeeper.post("subnets/", cidr="10.9.0.0/24", name="lab")
    await innkeeper.post("ipranges/", type="reserved", start_ip="10.9.0.5", end_ip="10.9.0.9")
    plan = await plan_of(innkeeper, "DELETE", "subnets/lab/")
    assert next((one["kind"], one["id"]) for one in plan["deleted"]) == ("subnet", str(subnet["id"]))
    assert names(plan, "deleted") == ["'lab' (10.9.0.0/24)", "10.9.0.5-10.9.0.9 (reserved) of 10.9.0.0/24"]
    assert (plan["name"], plan["confirm"]) == ("lab", "yes")
    range_id = (await innkeeper.get("ipranges/"))[-1]["id"]
    plan = await plan_of(innkeeper, "DELETE", f"ipranges/{range_id}/")
    assert plan["name"] == "10.9.0.5-10.9.0.9"
    assert (await innkeeper.delete("subnets/lab/")).status == 204


async def test_a_fabric_names_its_vlans_and_a_space_keeps_them(innkeeper: Deployment) -> None:
    await innkeeper.post("spaces/", name="dmz")
    fabric = await innkeeper.post("fabrics/", name="east")
    await innkeeper.post("fabrics/east/vlans/", vid="7", space="dmz")
    plan = await plan_of(innkeeper, "DELETE", "fabrics/east/")
    assert [one["kind"] for one in plan["deleted"]] == ["fabric", "VLAN", "VLAN"]
    plan = await plan_of(innkeeper, "DELETE", "fabrics/east/vlans/7/")
    assert names(plan, "deleted") == ["7 of the fabric 'east'"]
    plan = await plan_of(innkeeper, "DELETE", "spaces/dmz/")
    assert (names(plan, "deleted"), names(plan, "kept")) == (["dmz"], ["7 of the fabric 'east'"])
    await innkeeper.post("subnets/", cidr="10.8.0.0/24", fabric="east", vid="7")
    for path in (f"fabrics/{fabric['id']}/", "fabrics/east/vlans/7/", "fabrics/0/", "fabrics/east/vlans/0/"):
        assert "cannot be deleted" in await refused_alike(innkeeper, "DELETE", path)


async def test_a_zone_names_what_moves_and_a_pool_refuses(innkeeper: Deployment, host: Any) -> None:
    await innkeeper.post("zones/", name="east")
    await innkeeper.post("resourcepools/", name="lab")
    await innkeeper.put(f"vm-hosts/{host['id']}/", zone="east", pool="lab")
    assert "has 1 VM host in it" in await refused_alike(innkeeper, "DELETE", "zones/east/")
    assert "has 1 VM host in it" in await refused_alike(innkeeper, "DELETE", "resourcepool/lab/")
    plan = await plan_of(innkeeper, "DELETE", "zones/east/", move_to="default")
    assert plan["effects"] == ["Members that move to the zone 'default': 1 VM host."]
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["zone"]["name"] == "east"


async def test_a_rack_names_the_hosts_that_only_it_reaches(innkeeper: Deployment, host: Any) -> None:
    (rack,) = await innkeeper.get("racks/")
    plan = await plan_of(innkeeper, "DELETE", f"racks/{rack['id']}/")
    assert names(plan, "deleted") == [rack["name"]]
    assert plan["effects"][-1] == "No other rack has reached 1 VM host: sim."
    assert (await innkeeper.get("racks/"))[0]["connected"] is True


async def test_keys_and_clients_remain_valid_after_a_dry_run(innkeeper: Deployment) -> None:
    key = await innkeeper.post("account/", op="create_authorisation_token", name="laptop")
    fields = {"token_key": key["token_key"]}
    plan = await plan_of(innkeeper, "POST", "account/", "delete_authorisation_token", **fields)
    assert names(plan, "deleted") == ["laptop"]
    await innkeeper.post("account/", op="delete_authorisation_token", **fields)
    await innkeeper.post("rpc-clients/", name="ci")
    assert names(await plan_of(innkeeper, "DELETE", "rpc-clients/ci/"), "deleted") == ["ci"]
    assert (await innkeeper.delete("rpc-clients/ci/")).status == 204
    assert "no RPC client" in await refused_alike(innkeeper, "DELETE", "rpc-clients/ci/")


async def test_a_dry_run_of_cancel_cancels_nothing(innkeeper: Deployment, host: Any) -> None:
    with innkeeper.held("define guest"):
        operation = await innkeeper.begin_compose(host["id"], hostname="web", cores=1, memory=1024)
        plan = await dry(innkeeper, "POST", f"operations/{operation}/", "cancel")
        assert plan["effects"][0].startswith(f"Operation {operation}, compose of web (")
    assert await innkeeper.ended(operation) == "succeeded"
    assert "cannot be cancelled" in await refused_alike(innkeeper, "POST", f"operations/{operation}/", "cancel")


async def test_the_dry_run_of_compose_names_the_host_or_why_not(innkeeper: Deployment, host: Any) -> None:
    path = f"vm-hosts/{host['id']}/"
    plan = await plan_of(innkeeper, "POST", path, "compose", cores="2", memory="1024")
    assert plan["chosen"] == "sim"
    assert "has only 8 cores" in str((await rejection(dry(innkeeper, "POST", path, "compose", cores="99"))).details)
