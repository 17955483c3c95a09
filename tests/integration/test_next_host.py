"""What a compose does when the host that was chosen cannot make the machine: the next one, in the same operation."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from common.simulated_address import SimulatedAddress
from regiond.machines.model import ComposeRequest
from tests.installation import Installation, installed
from tests.waiting import eventually


async def address_becomes(innkeeper: Installation, name: str, **parameters: Any) -> None:
    """As if the host itself had changed after it was looked at: the region is told nothing."""
    async with innkeeper.region.parts.database.connection() as db:
        address = await db.fetchval("select address from vm_host where name = $1", name)
        plain = "&".join(f"{key}={value}" for key, value in parameters.items())
        kept = "&".join(part for part in address.partition("?")[2].split("&") if part.split("=")[0] not in parameters)
        changed = SimulatedAddress.parse(f"simulated:{name}?{kept}&{plain}").normalised
        await db.execute("update vm_host set address = $2 where name = $1", name, changed)


async def the_compose(innkeeper: Installation) -> Any:
    (found,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "compose"]
    return found


async def hosts_of(innkeeper: Installation, **large: Any) -> None:
    """`large` has most room, so it is the first in the order; `small` comes next."""
    await innkeeper.start_rack()
    await innkeeper.add_simulated("large", cores=16, memory_mib=65536, **large)
    await innkeeper.add_simulated("small", cores=8, memory_mib=16384)


async def used(innkeeper: Installation) -> dict[str, Any]:
    return {host["name"]: host["used"]["cores"] for host in await innkeeper.get("vm-hosts/")}


async def test_a_pool_that_vanished_leads_to_the_next_host_and_is_told(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await hosts_of(innkeeper)

        async def begun() -> bool:
            return [one["state"] for one in await innkeeper.get("operations/") if one["kind"] == "compose"] == [
                "running"
            ]

        with innkeeper.held("version", name="large"):
            allocating = asyncio.create_task(innkeeper.post("machines/", op="allocate", cpu_count=2, mem=1024))
            await eventually(begun)
            before = (await innkeeper.get("machines/"))[0]
            await address_becomes(innkeeper, "large", pools="other:100")
        machine = await allocating
        assert (machine["pod"]["name"], machine["status_name"], machine["owner"]) == ("small", "Allocated", "admin")
        assert (machine["system_id"], machine["hostname"]) == (before["system_id"], before["hostname"])
        assert machine["hardware_uuid"] != before["hardware_uuid"]
        assert innkeeper.simulated_guests("small") == [machine["hostname"]]
        assert innkeeper.simulated_guests("large") == []
        assert await used(innkeeper) == {"large": 0, "small": 2}
        operation = await the_compose(innkeeper)
        assert (operation["state"], operation["host_name"], operation["attempt"]) == ("succeeded", "small", 2)
        (tried,) = operation["explanation"]["tried"]
        assert (tried["host"], "no storage pool" in tried["error"]) == ("large", True)
        assert operation["explanation"]["chosen"] == "small"
        kinds = {event["kind"] for event in (await innkeeper.get("events/", op="query"))["events"]}
        assert "compose_sent_on" in kinds


async def test_a_name_that_a_foreign_guest_has_is_free_on_the_next_host(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await hosts_of(innkeeper, guests=1)
        (foreign,) = innkeeper.simulated_guests("large")
        machines, operations = innkeeper.region.parts.services.machines, innkeeper.region.parts.services.operations
        opened = await machines.start_compose(innkeeper.admin, ComposeRequest(memory_mib=1024, hostname=foreign))
        ended = await operations.wait(opened.id, timeout_s=60)
        assert (ended.state, ended.host_name, ended.undone) == ("succeeded", "small", ())
        assert innkeeper.simulated_guests("large") == innkeeper.simulated_guests("small") == [foreign]
        assert (await innkeeper.get("machines/"))[0]["pod"]["name"] == "small"


async def test_when_all_hosts_refuse_every_reason_is_told_and_nothing_stays(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await hosts_of(innkeeper)
        await innkeeper.add_simulated("tiny", cores=1, memory_mib=1024)
        await address_becomes(innkeeper, "large", pools="other:100")
        await address_becomes(innkeeper, "small", fault_rate=1)
        with pytest.raises(InnkeeperError) as refused:
            await innkeeper.post("machines/", op="allocate", cpu_count=2, mem=1024)
        assert refused.value.details["status"] == 409
        for reason in ("large: ", "no storage pool", "small: ", "tiny: cores: 2 asked, 1 of 1"):
            assert reason in refused.value.message
        operation = await the_compose(innkeeper)
        assert (operation["state"], operation["error"]["code"]) == ("failed", "none_available")
        assert [one["host"] for one in operation["explanation"]["tried"]] == ["large", "small"]
        assert await innkeeper.get("machines/") == []
        assert innkeeper.simulated_guests("large") == innkeeper.simulated_guests("small") == []
        assert await used(innkeeper) == {"large": 0, "small": 0, "tiny": 0}


async def test_a_named_host_fails_with_its_own_reason(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await hosts_of(innkeeper)
        await address_becomes(innkeeper, "large", pools="other:100")
        (large,) = [host for host in await innkeeper.get("vm-hosts/") if host["name"] == "large"]
        with pytest.raises(InnkeeperError, match="no storage pool"):
            await innkeeper.compose(large["id"], cores=1, memory=1024)
        assert innkeeper.simulated_guests("small") == []
        assert "tried" not in (await the_compose(innkeeper))["explanation"]


async def test_a_cancelled_compose_goes_nowhere_else(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await hosts_of(innkeeper)
        later = {"Prefer": "respond-async"}
        with innkeeper.held("define guest", name="large"):
            operation = await innkeeper.post("machines/", op="allocate", headers=later, mem=1024)

            async def at_host() -> bool:
                return bool((await the_compose(innkeeper))["step"] == "compose_on_host")

            await eventually(at_host)
            await innkeeper.post(f"operations/{operation['id']}/", op="cancel")

        async def ended() -> bool:
            return bool((await the_compose(innkeeper))["state"] == "cancelled")

        await eventually(ended)
        assert innkeeper.simulated_guests("large") == innkeeper.simulated_guests("small") == []
        assert await innkeeper.get("machines/") == []
