"""A machine is in the zone of its host unless a zone was chosen for it."""

from __future__ import annotations

from typing import Any

import pytest

from regiond.machines.core.store import move
from tests.deployment.deployment import Deployment

pytestmark = pytest.mark.database


async def host_in_east(innkeeper: Deployment) -> int:
    for zone in ("east", "west"):
        await innkeeper.post("zones/", name=zone)
    host = await innkeeper.add_simulated(cores=16)
    await innkeeper.put(f"vm-hosts/{host['id']}/", zone="east")
    return int(host["id"])


async def zone_of(innkeeper: Deployment, composed: Any) -> str:
    machine = await innkeeper.get(f"machines/{composed['system_id']}/")
    return str(machine["zone"]["name"])


async def test_a_composed_machine_is_in_the_zone_of_its_host(innkeeper: Deployment) -> None:
    host = await host_in_east(innkeeper)
    assert await zone_of(innkeeper, await innkeeper.compose(host, memory=1024)) == "east"
    anywhere = await innkeeper.post("vm-hosts/", op="compose", memory=1024)
    assert await zone_of(innkeeper, anywhere) == "east"
    assert await zone_of(innkeeper, await innkeeper.post("machines/", op="allocate", mem=1024)) == "east"


@pytest.mark.slow
async def test_a_zone_and_a_pool_can_be_chosen_for_the_machine(innkeeper: Deployment) -> None:
    host = await host_in_east(innkeeper)
    await innkeeper.post("resourcepools/", name="lab")
    assert await zone_of(innkeeper, await innkeeper.compose(host, memory=1024, zone="west")) == "west"
    chosen = await innkeeper.post(
        "vm-hosts/", op="compose", memory=1024, zone="east", machine_zone="west", machine_pool="lab"
    )
    machine = await innkeeper.get(f"machines/{chosen['system_id']}/")
    assert (machine["zone"]["name"], machine["pool"]["name"]) == ("west", "lab")


@pytest.mark.slow
async def test_machines_follow_their_host_to_another_zone(innkeeper: Deployment) -> None:
    host = await host_in_east(innkeeper)
    follows = await innkeeper.compose(host, memory=1024)
    chosen = await innkeeper.compose(host, memory=1024, zone="default")
    await innkeeper.put(f"vm-hosts/{host}/", zone="west")
    assert [await zone_of(innkeeper, one) for one in (follows, chosen)] == ["west", "default"]
    await innkeeper.put(f"vm-hosts/{host}/", name="renamed")
    assert await zone_of(innkeeper, follows) == "west"


@pytest.mark.slow
async def test_a_chosen_zone_stays_when_the_host_passes_through_it(innkeeper: Deployment) -> None:
    host = await host_in_east(innkeeper)
    chosen = await innkeeper.compose(host, memory=1024, zone="west")
    for zone in ("west", "default"):
        await innkeeper.put(f"vm-hosts/{host}/", zone=zone)
        assert await zone_of(innkeeper, chosen) == "west"


@pytest.mark.slow
@pytest.mark.parametrize("op", ["update", "set_zone"])
async def test_a_machine_in_the_zone_of_its_host_follows_it_again(innkeeper: Deployment, op: str) -> None:
    """Choosing the zone of the host ends an earlier choice; choosing another one begins one."""
    host = await host_in_east(innkeeper)
    composed = await innkeeper.compose(host, memory=1024)

    async def choose(zone: str) -> None:
        if op == "update":
            await innkeeper.put(f"machines/{composed['system_id']}/", zone=zone)
        else:
            await innkeeper.post("machines/", op="set_zone", nodes=composed["system_id"], zone=zone)

    await choose("default")
    await innkeeper.put(f"vm-hosts/{host}/", zone="west")
    assert await zone_of(innkeeper, composed) == "default"
    await choose("west")
    await innkeeper.put(f"vm-hosts/{host}/", zone="east")
    assert await zone_of(innkeeper, composed) == "east"


async def test_machines_follow_their_cluster_to_another_zone(innkeeper: Deployment) -> None:
    host = await host_in_east(innkeeper)
    follows = await innkeeper.compose(host, memory=1024)
    chosen = await innkeeper.compose(host, memory=1024, zone="default")
    add = "insert into cluster (name, identity, project, zone_id, pool_id) select 'c', 'id', '', 1, 0"
    (cluster,) = await innkeeper.fetch(f"{add} returning id")
    await innkeeper.fetch("update vm_host set cluster_id = $1, member = 'sim'", cluster["id"])
    await innkeeper.put(f"vm-clusters/{cluster['id']}/", zone="west")
    assert [await zone_of(innkeeper, one) for one in (follows, chosen)] == ["west", "default"]


async def test_a_migrated_machine_is_in_the_zone_of_its_new_host(innkeeper: Deployment) -> None:
    """As LXD moves an instance to another member, which discovery finds. Nothing is committed: no guest moves here."""
    host = await host_in_east(innkeeper)
    other = await innkeeper.add_simulated("other")
    follows = await innkeeper.compose(host, memory=1024)
    chosen = await innkeeper.compose(host, memory=1024, zone="west")
    zones = []
    async with innkeeper.region.components.database.transaction(dry_run=True) as db:
        server_id = await db.fetchval("select server_id from vm_host where id = $1", other["id"])
        for composed in (follows, chosen):
            machine_id = await db.fetchval("select id from machine where system_id = $1", composed["system_id"])
            await move(db, machine_id, host_id=other["id"], server_id=server_id)
            zones.append(
                await db.fetchval(
                    "select name from zone join machine m on zone_id = zone.id where m.id = $1", machine_id
                )
            )
    assert zones == ["default", "west"]
