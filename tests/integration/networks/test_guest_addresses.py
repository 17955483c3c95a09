"""Addresses that guests have by DHCP: shown while they run, with their subnet, and given to no other machine."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InvalidRequest
from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_deployments import composed, database, deploy, reaches
from tests.integration.support.images import add_image
from tests.postgresql.database import execute, fetchval
from tests.postgresql.row_versions import versions
from tests.support.rejections import rejection
from tests.support.waiting import eventually

LAN = "lan:10.9.0.0/24"


async def deployed(innkeeper: Deployment, **host: Any) -> Any:
    await add_image(innkeeper)
    system_id = await composed(innkeeper, **{"networks": LAN, **host})
    await deploy(innkeeper, system_id)
    return await reaches(innkeeper, system_id, "Deployed")


def addresses_of(machine: Any) -> list[str]:
    """Those in links, each of which has a subnet."""
    links = [link for nic in machine["interface_set"] for link in nic["links"]]
    assert all(link["subnet"] for link in links)
    return [link["ip_address"] for link in links if "ip_address" in link]


async def is_without_addresses(innkeeper: Deployment, system_id: str) -> bool:
    return bool((await innkeeper.get(f"machines/{system_id}/"))["ip_addresses"] == [])


async def test_a_deployed_machine_is_shown_with_its_address(innkeeper: Deployment) -> None:
    machine = await deployed(innkeeper)
    (address,) = machine["ip_addresses"]
    assert address.startswith("10.9.0.")
    (link,) = machine["interface_set"][0]["links"]
    assert (link["mode"], link["ip_address"], link["subnet"]["cidr"]) == ("dhcp", address, "10.9.0.0/24")
    page = await innkeeper.get("subnets/10.9.0.0%2F24/", op="ip_addresses")
    assert [(one["ip"], one["alloc_type_name"]) for one in page if one["system_id"] == machine["system_id"]] == [
        (address, "Discovered")
    ]


@pytest.mark.slow
async def test_a_guest_that_is_off_has_no_address(innkeeper: Deployment) -> None:
    machine = await deployed(innkeeper)
    path, before = f"machines/{machine['system_id']}/", machine["ip_addresses"]
    await innkeeper.post(path, op="power_off", stop_mode="hard")
    assert await is_without_addresses(innkeeper, machine["system_id"])
    await innkeeper.post(path, op="power_on")
    await eventually(lambda: _has_addresses(innkeeper, path, before))


async def _has_addresses(innkeeper: Deployment, path: str, wanted: list[str]) -> bool:
    return bool((await innkeeper.get(path))["ip_addresses"] == wanted)


@pytest.mark.slow
async def test_a_released_machine_has_no_address(innkeeper: Deployment) -> None:
    machine = await deployed(innkeeper)
    released = await innkeeper.post(f"machines/{machine['system_id']}/", op="release")
    assert (released["status_name"], released["ip_addresses"]) == ("Ready", [])
    assert addresses_of(released) == []
    assert await fetchval(database(innkeeper), "select count(*) from seen_address") == 0


async def test_an_address_in_use_is_given_to_no_other_machine(innkeeper: Deployment) -> None:
    machine = await deployed(innkeeper)
    (address,) = machine["ip_addresses"]
    compose = innkeeper.compose(machine["pod"]["id"], cores=1, memory=1024, interfaces=f"eth0:ip={address}")
    rejected = await rejection(compose)
    assert isinstance(rejected, InvalidRequest)
    assert f"{address} is in use by machine {machine['hostname']}" in str(rejected.fields["interfaces"])
    await innkeeper.post(f"machines/{machine['system_id']}/", op="release")
    await innkeeper.compose(machine["pod"]["id"], cores=1, memory=1024, interfaces=f"eth0:ip={address}")


async def test_an_address_outside_the_known_subnets_has_no_link(innkeeper: Deployment) -> None:
    machine = await deployed(innkeeper)
    statement = "update seen_address set address = '172.30.0.9' where nic_id = $1"
    await innkeeper.stop_rack("rack")  # no discovery run corrects it
    await execute(database(innkeeper), statement, machine["interface_set"][0]["id"])
    shown = await innkeeper.get(f"machines/{machine['system_id']}/")
    assert (shown["ip_addresses"], addresses_of(shown)) == (["172.30.0.9"], [])


async def test_unchanged_addresses_cost_no_row(innkeeper: Deployment, database_url: str) -> None:
    machine = await deployed(innkeeper)
    host_id, url = machine["pod"]["id"], database_url
    await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    before = {one for one in await versions(url) if one[0] == "seen_address"}
    await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    assert {one for one in await versions(url) if one[0] == "seen_address"} == before != set()


@pytest.mark.slow
async def test_a_machine_is_deployed_without_an_address_too(innkeeper: Deployment) -> None:
    """The network is too small for a DHCP server. The wait for an address ends."""
    machine = await deployed(innkeeper, networks="tiny:10.9.1.0/30")
    assert (machine["ip_addresses"], addresses_of(machine)) == ([], [])
