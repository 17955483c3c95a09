"""Hosts in a deployment: add, change, tag, and two hosts on one server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest
from regiond.credentials import store as secret_store
from regiond.hosts.model import MASK
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.support.tables import count
from tests.support.waiting import eventually

PHRASE = "a pass phrase"
SIM = "simulated:sim?cores=4&memory_mib=12288"
CONSTANT_TAGS = ["pod-console-logging", "simulated"]


def unrefreshed(host: dict[str, Any]) -> dict[str, Any]:
    """Returns the host without the time of its last refresh."""
    return {key: value for key, value in host.items() if key != "refreshed_at"}


async def rejected_fields(request: Awaitable[Any]) -> list[str]:
    with pytest.raises(InvalidRequest) as rejected:
        await request
    return list(rejected.value.fields)


# Adding --------------------------------------------------------------------------------------------------------------


async def test_the_same_address_in_another_spelling_is_rejected(innkeeper: Deployment) -> None:
    await innkeeper.post("vm-hosts/", type="simulated", power_address=SIM, name="one")
    with pytest.raises(InnkeeperError, match=r"Host 'one' \(id 1\) already uses simulated:sim") as rejected:
        await innkeeper.post(
            "vm-hosts/", type="simulated", power_address="simulated:sim?memory_mib=12288&cores=4", name="two"
        )
    assert rejected.value.details["status"] == 400
    assert len(await innkeeper.get("vm-hosts/")) == 1


async def test_concurrent_requests_add_an_address_once(innkeeper: Deployment) -> None:
    async def add() -> int:
        try:
            await innkeeper.post("vm-hosts/", type="simulated", power_address=SIM)
        except InnkeeperError as error:
            return int(error.details["status"])
        return 200

    assert sorted(await asyncio.gather(*(add() for _ in range(4)))) == [200, 400, 400, 400]


async def test_bad_fields_of_a_new_host_are_rejected_by_field(rackless: Deployment) -> None:
    good: dict[str, Any] = {"type": "simulated", "power_address": SIM}
    for changes, field in [
        ({"type": "vmware"}, "type"),
        ({"type": ""}, "type"),
        ({"power_address": ""}, "power_address"),
        ({"power_address": "simulated:../x"}, "power_address"),
        ({"power_address": "simulated:x?cores=0"}, "power_address"),
        ({"power_address": "qemu:///system"}, "power_address"),
        ({"type": "virsh", "power_address": "qemu+ssh://user@host/system?command=x"}, "power_address"),
        ({"cpu_over_commit_ratio": "10.1"}, "cpu_over_commit_ratio"),
        ({"cpu_over_commit_ratio": "-0.1"}, "cpu_over_commit_ratio"),
        ({"cpu_over_commit_ratio": "nan"}, "cpu_over_commit_ratio"),
        ({"memory_over_commit_ratio": "inf"}, "memory_over_commit_ratio"),
        ({"memory_over_commit_ratio": "much"}, "memory_over_commit_ratio"),
        ({"reserved_cores": "-1"}, "reserved_cores"),
        ({"reserved_memory": "half"}, "reserved_memory"),
        ({"zone": "nowhere"}, "zone"),
        ({"pool": "nowhere"}, "pool"),
        ({"name": "n" * 256}, "name"),
        ({"default_macvlan_mode": "loose"}, "default_macvlan_mode"),
    ]:
        assert await rejected_fields(rackless.post("vm-hosts/", **{**good, **changes})) == [field], changes
    for table in ("vm_host", "server", "operation", "secret"):
        assert await count(rackless, table) == 0


async def test_a_host_without_a_name_gets_one_and_the_console_tag(innkeeper: Deployment) -> None:
    host = await innkeeper.post("vm-hosts/", type="simulated", power_address=SIM, tags="a,b,a")
    assert host["name"].count("-") == 1
    assert host["tags"] == ["a", "b", *CONSTANT_TAGS]


async def test_an_unreachable_host_is_added_and_its_refresh_fails(rackless: Deployment) -> None:
    host = await rackless.add_simulated()
    assert host["total"] == {"cores": 0, "memory": 0, "local_storage": 0}
    assert (host["architectures"], host["storage_pools"]) == ([], [])
    with pytest.raises(InnkeeperError, match="No connected rack") as rejected:
        await rackless.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert rejected.value.details["status"] == 503


async def test_a_failing_host_is_added_with_the_drivers_message(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(fault_rate=1)
    assert host["total"]["cores"] == 0
    with pytest.raises(InnkeeperError, match=r"simulated (connection loss|failure)") as rejected:
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert rejected.value.details["status"] == 503
    with pytest.raises(InnkeeperError, match="first successful refresh"):
        await innkeeper.compose(host["id"])


# Changing ------------------------------------------------------------------------------------------------------------


async def test_the_macvlan_mode_is_stored_and_changed(rackless: Deployment) -> None:
    host = await rackless.post("vm-hosts/", type="simulated", power_address=SIM, default_macvlan_mode="vepa")
    assert host["default_macvlan_mode"] == "vepa"
    for change in ({"default_macvlan_mode": "private"}, {"name": "renamed"}):
        changed = await rackless.put(f"vm-hosts/{host['id']}/", **change)
        assert changed["default_macvlan_mode"] == "private"


async def test_the_reserve_of_a_host_is_shown_and_limited(innkeeper: Deployment) -> None:
    address = "simulated:sim?cores=4&memory_mib=8192"
    host = await innkeeper.post("vm-hosts/", type="simulated", power_address=address, reserved_cores=1)
    assert (host["reserved_cores"], host["reserved_memory"]) == (1, 0)
    path = f"vm-hosts/{host['id']}/"
    changed = await innkeeper.put(path, reserved_memory=1024)
    assert (changed["reserved_cores"], changed["reserved_memory"]) == (1, 1024)
    with pytest.raises(InvalidRequest) as rejected:
        await innkeeper.put(path, reserved_cores=5, reserved_memory=8193)
    assert rejected.value.fields == {
        "reserved_cores": ["Must be from 0 to 4, not 5."],
        "reserved_memory": ["Must be from 0 to 8192, not 8193."],
    }


@pytest.mark.slow
async def test_an_update_leaves_other_fields_unchanged(innkeeper: Deployment) -> None:
    await innkeeper.post("zones/", name="dmz")
    await innkeeper.post("resourcepools/", name="web")
    host = await innkeeper.add_simulated()
    path = f"vm-hosts/{host['id']}/"
    changed = await innkeeper.put(path, zone="dmz", pool="web", tags="x,y", cpu_over_commit_ratio="2.5")
    assert (changed["zone"]["name"], changed["pool"]["name"]) == ("dmz", "web")
    assert (changed["cpu_over_commit_ratio"], changed["tags"]) == (2.5, ["x", "y", *CONSTANT_TAGS])
    again = await innkeeper.put(path, name="renamed")
    assert unrefreshed(again) == {**unrefreshed(changed), "name": "renamed"}
    assert unrefreshed(await innkeeper.put(path, name="renamed", type="simulated")) == unrefreshed(again)


async def test_an_update_with_bad_values_changes_nothing(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    path = f"vm-hosts/{host['id']}/"
    for changes, field in [
        ({"type": "virsh"}, "type"),
        ({"power_address": "elsewhere"}, "power_address"),
        ({"default_storage_pool": "nope"}, "default_storage_pool"),
        ({"zone": "nowhere"}, "zone"),
        ({"pool": "nowhere"}, "pool"),
        ({"cpu_over_commit_ratio": "11"}, "cpu_over_commit_ratio"),
    ]:
        assert await rejected_fields(innkeeper.put(path, **{"name": "other", **changes})) == [field], changes
    assert unrefreshed(await innkeeper.get(path)) == unrefreshed(host)


async def test_an_update_cannot_take_the_address_of_another_host(innkeeper: Deployment) -> None:
    one, two = await innkeeper.add_simulated("one"), await innkeeper.add_simulated("two")
    address = (await innkeeper.get(f"vm-hosts/{one['id']}/", op="parameters"))["power_address"]
    with pytest.raises(InnkeeperError, match="already uses"):
        await innkeeper.put(f"vm-hosts/{two['id']}/", power_address=address)


async def test_an_update_discovers_new_hardware(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=4)
    grown = await innkeeper.put(f"vm-hosts/{host['id']}/", power_address="simulated:sim?cores=16&memory_mib=12288")
    assert grown["total"]["cores"] == 16


@pytest.mark.slow
async def test_a_host_without_machines_may_move_to_another_server(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("old", guests=2)
    remaining = await innkeeper.add_simulated("old", host_name="other", shared=1)
    for left in (1, 2, 2):  # to the server of another host, to a new server, and there again
        path = f"vm-hosts/{host['id']}/"
        moved = await innkeeper.put(path, power_address=f"simulated:new{left}?cores=9&guests={left}")
        assert (moved["total"]["cores"], moved["used"]["cores"]) == (9, left)
        assert [pool["default"] for pool in moved["storage_pools"]] == [True]
        assert await count(innkeeper, "server") == 2
        assert await count(innkeeper, "guest") == 2 + left
    assert (await innkeeper.get(f"vm-hosts/{remaining['id']}/"))["used"]["cores"] == 2


async def test_a_host_with_machines_cannot_move_to_another_server(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("old")
    composed = await innkeeper.compose(host["id"])
    path = f"vm-hosts/{host['id']}/"
    before = await innkeeper.get(path)
    with pytest.raises(InvalidRequest) as refused:
        await innkeeper.put(path, power_address="simulated:new?cores=9")
    (text,) = refused.value.fields["power_address"]
    assert ("the server there is simulated/" in text, "new" in text, "old" in text) == (True, True, True)
    assert await count(innkeeper, "server") == 1
    assert unrefreshed(await innkeeper.get(path)) == unrefreshed(before)
    assert (await innkeeper.get(f"machines/{composed['system_id']}/"))["status_name"] == "Ready"


@pytest.mark.slow
async def test_disks_are_created_in_the_default_storage_pool(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(pools=2)
    await innkeeper.put(f"vm-hosts/{host['id']}/", default_storage_pool="fast")
    await innkeeper.compose(host["id"], storage="10")
    after = await innkeeper.get(f"vm-hosts/{host['id']}/")
    used = {pool["name"]: (pool["used"], pool["default"]) for pool in after["storage_pools"]}
    assert used == {"default": (0, False), "fast": (10 * 10**9, True)}


# Tags and parameters -------------------------------------------------------------------------------------------------


async def test_concurrently_added_tags_are_all_stored(innkeeper: Deployment) -> None:
    path = f"vm-hosts/{(await innkeeper.add_simulated())['id']}/"
    await asyncio.gather(*(innkeeper.post(path, op="add_tag", tag=f"t{number % 6}") for number in range(12)))
    assert sorted((await innkeeper.get(path))["tags"]) == [*CONSTANT_TAGS, *(f"t{n}" for n in range(6))]
    await asyncio.gather(*(innkeeper.post(path, op="remove_tag", tag=f"t{number}") for number in range(4)))
    assert sorted((await innkeeper.get(path))["tags"]) == [*CONSTANT_TAGS, "t4", "t5"]
    assert sorted((await innkeeper.post(path, op="remove_tag", tag="absent"))["tags"])[2:] == ["t4", "t5"]


async def test_parameters_are_texts_without_secrets(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as innkeeper:
        host = await innkeeper.post(
            "vm-hosts/", type="virsh", power_address="qemu+ssh://u@127.0.0.1:1/system", power_pass=PHRASE
        )
        found = await innkeeper.get(f"vm-hosts/{host['id']}/", op="parameters")
        assert all(isinstance(value, str) for value in found.values())
        assert found["power_pass"] == MASK
        assert found["ssh_public_key"].startswith("ssh-")
        assert "PRIVATE" not in str(found)
        async with innkeeper.region.components.database.connection() as db:
            sealed = await secret_store.of_host(db, host["id"])
        assert set(sealed) == {"power_pass", "ssh_private_key"}
        assert PHRASE.encode() not in b"".join(sealed.values())
        await innkeeper.put(
            f"vm-hosts/{host['id']}/", power_pass=found["power_pass"]
        )  # clients send back what they read
        async with innkeeper.region.components.database.connection() as db:
            assert await secret_store.of_host(db, host["id"]) == sealed


# Two hosts on one server ---------------------------------------------------------------------------------------------


async def test_two_hosts_on_one_server_share_its_capacity(innkeeper: Deployment) -> None:
    one = await innkeeper.add_simulated()
    two = await innkeeper.add_simulated(host_name="two", shared=1)
    assert await count(innkeeper, "server") == 1
    await innkeeper.compose(one["id"], cores=3, memory=1024)
    with pytest.raises(InnkeeperError, match="needs 2 cores, 1 free"):
        await innkeeper.compose(two["id"], cores=2, memory=1024)
    await innkeeper.compose(two["id"], cores=1, memory=1024)
    for host in (one, two):
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    states = {machine["status_name"] for machine in await innkeeper.get("machines/")}
    assert states == {"Ready"}, "neither host takes the other's machine for a missing or a foreign one"


async def test_guests_of_a_removed_host_still_count_on_a_shared_server(innkeeper: Deployment) -> None:
    one = await innkeeper.add_simulated()
    two = await innkeeper.add_simulated(host_name="two", shared=1)
    await innkeeper.compose(one["id"], cores=3, memory=1024)
    await innkeeper.delete(f"vm-hosts/{one['id']}/")

    async def is_counted() -> bool:
        return bool((await innkeeper.get(f"vm-hosts/{two['id']}/"))["used"]["cores"] == 3)

    await eventually(is_counted)
    assert len(innkeeper.simulated_guests()) == 1


async def test_a_simulated_host_of_a_name_in_use_is_refused(innkeeper: Deployment) -> None:
    """Whatever its other parameters: both would have the guests of one file."""
    one = await innkeeper.add_simulated(host_name="one")
    others: tuple[dict[str, Any], ...] = ({"cores": 9}, {"delay_ms": 1}, {"guests": 2})
    for more in others:
        with pytest.raises(InnkeeperError, match=r"Host 'one' \(id 1\) already uses simulated:sim.* shared=1"):
            await innkeeper.add_simulated(host_name="two", **more)
    two = await innkeeper.add_simulated("other")
    with pytest.raises(InnkeeperError, match="already uses simulated:sim"):
        await innkeeper.put(f"vm-hosts/{two['id']}/", power_address="simulated:sim?cores=7")
    grown = await innkeeper.put(f"vm-hosts/{one['id']}/", power_address="simulated:sim?cores=9")
    assert grown["total"]["cores"] == 9
    assert len(await innkeeper.get("vm-hosts/")) == 2
