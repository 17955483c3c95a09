"""Rescheduling: a compose whose host fails continues on the next one, in the same operation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from common.addresses.simulated import SimulatedAddress
from common.errors import InnkeeperError
from common.guests.compose_request import ComposeRequest
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.deployment.held_refreshes import hold_refreshes
from tests.integration.support.adoption import reached
from tests.support.rejections import rejection
from tests.support.waiting import eventually


async def change_host(innkeeper: Deployment, name: str, **parameters: Any) -> None:
    """Changes the simulated host without a refresh, so that the region does not know the change."""
    host_id = innkeeper.hosts[name]
    await hold_refreshes(innkeeper.fetch, [host_id], lambda: innkeeper.post(f"vm-hosts/{host_id}/", op="refresh"))
    async with innkeeper.region.components.database.connection() as db:
        address = await db.fetchval("select address from vm_host where name = $1", name)
        plain = "&".join(f"{key}={value}" for key, value in parameters.items())
        unchanged = "&".join(
            part for part in address.partition("?")[2].split("&") if part.split("=")[0] not in parameters
        )
        changed = SimulatedAddress.parse(f"simulated:{name}?{unchanged}&{plain}").normalised
        await db.execute("update vm_host set address = $2 where name = $1", name, changed)


async def compose_operation(innkeeper: Deployment) -> Any:
    (found,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "compose"]
    return found


async def add_hosts(innkeeper: Deployment, **large: Any) -> None:
    """`large` has the most capacity and so ranks first; `small` is next."""
    await innkeeper.add_simulated("large", cores=16, memory_mib=65536, **large)
    await innkeeper.add_simulated("small", cores=8, memory_mib=16384)


async def used(innkeeper: Deployment) -> dict[str, Any]:
    return {host["name"]: host["used"]["cores"] for host in await innkeeper.get("vm-hosts/")}


@pytest.mark.slow
async def test_a_vanished_pool_reschedules_and_is_recorded(innkeeper: Deployment) -> None:
    await add_hosts(innkeeper)

    async def is_running() -> bool:
        return [one["state"] for one in await innkeeper.get("operations/") if one["kind"] == "compose"] == ["running"]

    await change_host(innkeeper, "large", pools="other:100")
    with innkeeper.held("version", name="large"):
        allocating = asyncio.create_task(innkeeper.post("machines/", op="allocate", cpu_count=2, mem=1024))
        await eventually(is_running)
        before = (await innkeeper.get("machines/"))[0]
    machine = await allocating
    assert (machine["pod"]["name"], machine["status_name"], machine["owner"]) == ("small", "Allocated", "admin")
    assert (machine["system_id"], machine["hostname"]) == (before["system_id"], before["hostname"])
    assert machine["hardware_uuid"] != before["hardware_uuid"]
    assert innkeeper.simulated_guests("small") == [machine["hostname"]]
    assert innkeeper.simulated_guests("large") == []
    assert await used(innkeeper) == {"large": 0, "small": 2}
    operation = await compose_operation(innkeeper)
    assert (operation["state"], operation["host_name"], operation["attempt"]) == ("succeeded", "small", 2)
    (tried,) = operation["explanation"]["tried"]
    assert (tried["host"], "no storage pool" in tried["error"]) == ("large", True)
    assert operation["explanation"]["chosen"] == "small"
    kinds = {event["kind"] for event in (await innkeeper.get("events/", op="query"))["events"]}
    assert "compose_rescheduled" in kinds


@pytest.mark.slow
async def test_tags_of_users_stay_and_those_of_the_host_follow_it(innkeeper: Deployment) -> None:
    await add_hosts(innkeeper)
    for host in await innkeeper.get("vm-hosts/"):
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="add_tag", tag=f"on-{host['name']}")
    await innkeeper.post("tags/", name="web")

    async def machines() -> Any:
        return await innkeeper.get("machines/")

    await change_host(innkeeper, "large", pools="other:100")
    with innkeeper.held("version", name="large"):
        allocating = asyncio.create_task(innkeeper.post("machines/", op="allocate", cpu_count=2, mem=1024))
        (composing,) = await eventually(machines)
        assert composing["tag_names"] == ["simulated", "on-large"]
        await innkeeper.post("tags/web/", op="update_nodes", add=composing["system_id"])
    assert (await allocating)["tag_names"] == ["simulated", "on-small", "web"]


@pytest.mark.slow
@pytest.mark.parametrize(("named", "zone"), [({}, "west"), ({"machine_zone": "east"}, "east")])
async def test_a_zone_that_the_request_names_stays(innkeeper: Deployment, named: Mapping[str, Any], zone: str) -> None:
    """Also if the first host is in it, so that the machine seemed to be there because of its host."""
    await add_hosts(innkeeper)
    for host, of_host in (("large", "east"), ("small", "west")):
        await innkeeper.post("zones/", name=of_host)
        await innkeeper.put(f"vm-hosts/{innkeeper.hosts[host]}/", zone=of_host)
    await change_host(innkeeper, "large", pools="other:100")
    composed = await innkeeper.post("vm-hosts/", op="compose", memory=1024, **named)
    machine = await innkeeper.get(f"machines/{composed['system_id']}/")
    assert (machine["pod"]["name"], machine["zone"]["name"]) == ("small", zone)
    await innkeeper.put(f"vm-hosts/{innkeeper.hosts['small']}/", zone="default")
    assert (await innkeeper.get(f"machines/{composed['system_id']}/"))["zone"]["name"] == (zone if named else "default")


@pytest.mark.slow
async def test_a_name_taken_on_one_host_is_free_on_the_next(innkeeper: Deployment) -> None:
    await add_hosts(innkeeper, guests=1)
    (foreign,) = innkeeper.simulated_guests("large")
    services = innkeeper.region.components.services
    opened = await services.composer.start_compose(innkeeper.admin, ComposeRequest(memory_mib=1024, hostname=foreign))
    ended = await services.operations.wait(opened.id, timeout_s=240)
    assert (ended.state, ended.host_name, ended.undone) == ("succeeded", "small", ())
    assert innkeeper.simulated_guests("large") == innkeeper.simulated_guests("small") == [foreign]
    assert (await innkeeper.get("machines/"))[0]["pod"]["name"] == "small"


@pytest.mark.slow
async def test_when_all_hosts_fail_all_reasons_are_reported(innkeeper: Deployment) -> None:
    await add_hosts(innkeeper)
    await innkeeper.add_simulated("tiny", cores=1, memory_mib=1024)
    await change_host(innkeeper, "large", pools="other:100")
    await change_host(innkeeper, "small", fault_rate=1)
    error = await rejection(innkeeper.post("machines/", op="allocate", cpu_count=2, mem=1024))
    assert error.details["status"] == 409
    for reason in ("large: ", "no storage pool", "small: ", "tiny: needs 2 cores, 1 free"):
        assert reason in error.message
    operation = await compose_operation(innkeeper)
    assert (operation["state"], operation["error"]["code"]) == ("failed", "none_available")
    assert [one["host"] for one in operation["explanation"]["tried"]] == ["large", "small"]
    assert await innkeeper.get("machines/") == []
    assert innkeeper.simulated_guests("large") == innkeeper.simulated_guests("small") == []
    assert await used(innkeeper) == {"large": 0, "small": 0, "tiny": 0}


async def test_a_compose_on_a_named_host_is_not_rescheduled(innkeeper: Deployment) -> None:
    await add_hosts(innkeeper)
    await change_host(innkeeper, "large", pools="other:100")
    (large,) = [host for host in await innkeeper.get("vm-hosts/") if host["name"] == "large"]
    with pytest.raises(InnkeeperError, match="no storage pool"):
        await innkeeper.compose(large["id"], cores=1, memory=1024)
    assert innkeeper.simulated_guests("small") == []
    assert "tried" not in (await compose_operation(innkeeper))["explanation"]


async def test_a_cancelled_compose_is_not_rescheduled(innkeeper: Deployment) -> None:
    await add_hosts(innkeeper)
    with innkeeper.held("define guest", name="large"):
        operation = await innkeeper.post("machines/", op="allocate", headers=ASYNC, mem=1024)
        await reached(innkeeper, operation, "compose_on_host")
        await innkeeper.cancel(operation["id"])
    await reached(innkeeper, operation, "cancelled")
    assert innkeeper.simulated_guests("large") == innkeeper.simulated_guests("small") == []
    assert await innkeeper.get("machines/") == []
