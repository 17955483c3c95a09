"""The generation of machines and guests: recorded by refreshes, and written before what uses a machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from common.rpc.commands.host_commands import HOST_SET_GENERATION
from rackd.drivers.simulated.fault_injection import Call
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import adopt, refresh, rows
from tests.integration.support.images import add_image
from tests.integration.support.rigs.byzantine_rack import byzantine_rack
from tests.integration.support.tables import sql
from tests.postgresql.database import execute
from tests.postgresql.row_versions import versions
from tests.support.waiting import eventually

_WRITE = """
    insert or replace into generation select guest_id, ? from guest where name = ?
"""
_BEGINS_USE = """
    create function begins_use() returns trigger language plpgsql as $$
    begin
        new.request := new.request || '{"generation": 5}';
        return new;
    end $$;
    create trigger begins_use before insert on operation for each row execute function begins_use();
"""
ISO = bytes(16 * 2048) + b"\x01CD001\x01" + bytes(2041 + 2048)
_RECORDED = "select name, generation from guest order by name"


async def recorded(innkeeper: Deployment) -> dict[str, int | None]:
    """The generations that the region knows of the guests."""
    return {row["name"]: row["generation"] for row in await sql(innkeeper, _RECORDED)}


async def known(innkeeper: Deployment) -> int:
    """The generation of the machine in the ledger."""
    (row,) = await sql(innkeeper, "select generation from machine")
    return int(row["generation"])


def write(innkeeper: Deployment, generation: int, name: str = "web") -> None:
    """As another region, or one of a later database, had it written."""
    rows(innkeeper, _WRITE, generation, name)


async def composed(innkeeper: Deployment, name: str = "web") -> Any:
    host = await innkeeper.add_simulated(guests=1)
    await innkeeper.compose(host["id"], hostname=name, cores=1, memory=1024)
    return host


async def test_a_refresh_records_the_generation_of_a_guest(innkeeper: Deployment, database_url: str) -> None:
    host = await composed(innkeeper)
    await refresh(innkeeper, host)
    assert await recorded(innkeeper) == {"foreign-0001": None, "web": 0}
    for generation in (3, 4):
        write(innkeeper, generation)
        await refresh(innkeeper, host)
        assert (await recorded(innkeeper))["web"] == generation
    before = await versions(database_url)
    await refresh(innkeeper, host)
    assert await versions(database_url) == before


async def test_a_forgotten_guest_has_no_generation(innkeeper: Deployment) -> None:
    host = await composed(innkeeper)
    write(innkeeper, 2)
    await refresh(innkeeper, host)
    (machine,) = await innkeeper.get("machines/")
    await innkeeper.post(f"machines/{machine['system_id']}/", op="forget")
    assert (await recorded(innkeeper))["web"] is None
    await adopt(innkeeper, host, guests="web")
    assert (await recorded(innkeeper))["web"] == 0


async def test_a_machine_whose_host_is_added_again_has_its_generation(innkeeper: Deployment) -> None:
    host = await composed(innkeeper)
    write(innkeeper, 7)
    assert await known(innkeeper) == 0
    await sql(innkeeper, "update machine set generation = 6")
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    await innkeeper.add_simulated(guests=1)
    assert await known(innkeeper) == 6
    assert (await recorded(innkeeper))["web"] == 7


Begin = Callable[[Deployment, Any], Awaitable[int]]


async def power_on(innkeeper: Deployment, host: Any) -> int:
    return await innkeeper.begin(await machine_path(innkeeper), op="power_on")


async def deploy(innkeeper: Deployment, host: Any) -> int:
    await add_image(innkeeper)
    return await innkeeper.begin(await machine_path(innkeeper), op="deploy", distro_series="custom/test")


async def insert_iso(innkeeper: Deployment, host: Any) -> int:
    await add_image(innkeeper, "custom/installer", content=ISO, filetype="iso")
    return await innkeeper.begin(await machine_path(innkeeper), op="insert_iso", image="custom/installer")


async def add_disk(innkeeper: Deployment, host: Any) -> int:
    path = await machine_path(innkeeper)
    return await innkeeper.begin(path, op="add_disk", size="2")


async def compose_on(innkeeper: Deployment, host: Any) -> int:
    machine = await innkeeper.get(await machine_path(innkeeper))
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    return await innkeeper.begin_compose(host["id"], hostname="web", cores=1, memory=1024, power_on="true")


async def machine_path(innkeeper: Deployment) -> str:
    (machine,) = await innkeeper.get("machines/")
    return f"machines/{machine['system_id']}/"


async def begin_uses(innkeeper: Deployment) -> None:
    """Each operation that is opened from now on begins the fifth use of its machine."""
    await execute(innkeeper.region.components.database, _BEGINS_USE)


def on_host(innkeeper: Deployment) -> list[Any]:
    return rows(innkeeper, "select name, number from guest join generation using (guest_id)")


@pytest.mark.parametrize(
    ("begin", "call"),
    [
        (power_on, "power"),
        (deploy, "copy image"),
        (insert_iso, "copy image"),
        (add_disk, "attach disk"),
        (compose_on, "power"),
    ],
)
async def test_what_uses_a_machine_first_writes_its_generation(innkeeper: Deployment, begin: Begin, call: Call) -> None:
    host = await composed(innkeeper)
    await begin_uses(innkeeper)
    with innkeeper.held(call):
        operation_id = await begin(innkeeper, host)
        await eventually(innkeeper.simulated().is_holding)
        assert on_host(innkeeper) == [("web", 5)]
        log = (await innkeeper.get(f"operations/{operation_id}/"))["log"]
        assert "set_generation" in str(log)
    await eventually(lambda: has_ended(innkeeper, operation_id))


async def reaching(innkeeper: Deployment) -> list[str]:
    """The racks that reached the host when they last called it."""
    found = await sql(innkeeper, "select name from rack_reach join rack on id = rack_id where reaches order by name")
    return [row["name"] for row in found]


def power(innkeeper: Deployment) -> str:
    ((power,),) = rows(innkeeper, "select power from guest where name = 'web'")
    return str(power)


async def has_ended(innkeeper: Deployment, operation_id: int) -> bool:
    """Deployments wait for the report of their guest, which boots by itself."""
    found = await innkeeper.get(f"operations/{operation_id}/")
    return bool({found["state"], found["step"]} & {"succeeded", "wait_for_report"})


async def test_only_the_first_use_writes_a_generation(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    machine = await machine_path(innkeeper)
    await innkeeper.post(machine, op="power_on")
    assert on_host(innkeeper) == [("web", 1)]
    rows(innkeeper, "delete from generation")
    for op in ("power_off", "power_on", "power_cycle"):
        await innkeeper.post(machine, op=op)
    assert on_host(innkeeper) == []


async def test_each_owner_after_a_release_has_the_next_generation(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    await add_image(innkeeper)
    machine = await machine_path(innkeeper)
    for expected in (1, 2):
        await innkeeper.post("machines/", op="allocate", name="web")
        operation_id = await innkeeper.begin(machine, op="deploy", distro_series="custom/test")
        await eventually(partial(has_ended, innkeeper, operation_id))
        assert on_host(innkeeper) == [("web", expected)]
        await innkeeper.post(machine, op="release")
        assert (await innkeeper.get(machine))["stock"] is True


async def test_a_rack_of_an_older_release_keeps_nobody_from_a_use(rackless: Deployment) -> None:
    """Racks are upgraded after the regions."""
    async with byzantine_rack(rackless, lacks=[HOST_SET_GENERATION]):
        host = await composed(rackless)
        operation_id = await power_on(rackless, host)
        assert await rackless.ended(operation_id) == "succeeded"
        log = str(await rackless.get(f"operations/{operation_id}/"))
        assert "the host keeps no record of this use" in log
        assert "apt-get install ./innkeeper_*.deb ./innkeeper-rack_*.deb" in log
        assert (on_host(rackless), power(rackless)) == ([], "on")
