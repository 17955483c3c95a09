"""Hosts in a whole installation: added, changed, tagged and shared, with what people are told of each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest
from regiond.credentials import store as secret_store
from tests.installation import installed
from tests.integration.tables import count
from tests.waiting import eventually

PHRASE = "a pass phrase"
SIM = "simulated:sim?cores=4&memory_mib=12288"


def lasting(host: dict[str, Any]) -> dict[str, Any]:
    """All but when it was looked at."""
    return {key: value for key, value in host.items() if key != "refreshed_at"}


# Adding --------------------------------------------------------------------------------------------------------------


async def test_the_same_place_in_another_spelling_is_refused(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await innkeeper.post("vm-hosts/", type="simulated", power_address=SIM, name="one")
        with pytest.raises(InnkeeperError, match="Pod two with type and parameters already exist") as refused:
            await innkeeper.post(
                "vm-hosts/", type="simulated", power_address="simulated:sim?memory_mib=12288&cores=4", name="two"
            )
        assert refused.value.details["status"] == 400
        assert len(await innkeeper.get("vm-hosts/")) == 1


async def test_two_who_add_the_same_place_at_once_add_one_host(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()

        async def add() -> int:
            try:
                await innkeeper.post("vm-hosts/", type="simulated", power_address=SIM)
            except InnkeeperError as error:
                return int(error.details["status"])
            return 200

        assert sorted(await asyncio.gather(*(add() for _ in range(4)))) == [200, 400, 400, 400]


async def test_bad_values_of_a_host_are_refused_by_field_and_nothing_is_written(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        good = {"type": "simulated", "power_address": SIM}
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
            with pytest.raises(InvalidRequest) as refused:
                await innkeeper.post("vm-hosts/", **dict[str, Any]({**good, **changes}))
            assert list(refused.value.fields) == [field], changes
        for table in ("vm_host", "server", "operation", "secret"):
            assert await count(innkeeper, table) == 0


async def test_a_host_without_a_name_gets_one_and_the_console_tag(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.post("vm-hosts/", type="simulated", power_address=SIM, tags="a,b,a")
        assert host["name"].count("-") == 1
        assert host["tags"] == ["a", "b", "pod-console-logging", "simulated"]


async def test_a_host_that_nobody_reaches_is_added_with_zero_totals_and_refresh_says_why(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        host = await innkeeper.add_simulated()
        assert host["total"] == {"cores": 0, "memory": 0, "local_storage": 0}
        assert (host["architectures"], host["storage_pools"]) == ([], [])
        with pytest.raises(InnkeeperError, match="No connected rack") as refused:
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        assert refused.value.details["status"] == 503


async def test_a_host_that_fails_is_added_and_refresh_tells_the_drivers_words(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(fault_rate=1)
        assert host["total"]["cores"] == 0
        with pytest.raises(InnkeeperError, match=r"simulated (loss|failure)") as refused:
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        assert refused.value.details["status"] == 503
        with pytest.raises(InnkeeperError, match="first good refresh"):
            await innkeeper.compose(host["id"])


# Changing ------------------------------------------------------------------------------------------------------------


async def test_the_macvlan_mode_of_a_host_is_kept_changed_and_stays_when_something_else_changes(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        host = await innkeeper.post("vm-hosts/", type="simulated", power_address=SIM, default_macvlan_mode="vepa")
        assert host["default_macvlan_mode"] == "vepa"
        for change in ({"default_macvlan_mode": "private"}, {"name": "inn"}):
            changed = await innkeeper.put(f"vm-hosts/{host['id']}/", **change)
            assert changed["default_macvlan_mode"] == "private"


async def test_what_is_reserved_for_the_host_is_told_and_is_no_more_than_it_has(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        address = "simulated:sim?cores=4&memory_mib=8192"
        host = await innkeeper.post("vm-hosts/", type="simulated", power_address=address, reserved_cores=1)
        assert (host["reserved_cores"], host["reserved_memory"]) == (1, 0)
        path = f"vm-hosts/{host['id']}/"
        changed = await innkeeper.put(path, reserved_memory=1024)
        assert (changed["reserved_cores"], changed["reserved_memory"]) == (1, 1024)
        with pytest.raises(InvalidRequest) as refused:
            await innkeeper.put(path, reserved_cores=5, reserved_memory=8193)
        assert refused.value.fields == {
            "reserved_cores": ["Ensure this value is less than or equal to 4."],
            "reserved_memory": ["Ensure this value is less than or equal to 8192."],
        }


async def test_an_update_keeps_what_it_does_not_name(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await innkeeper.post("zones/", name="dmz")
        await innkeeper.post("resourcepools/", name="web")
        host = await innkeeper.add_simulated()
        path = f"vm-hosts/{host['id']}/"
        changed = await innkeeper.put(path, zone="dmz", pool="web", tags="x,y", cpu_over_commit_ratio="2.5")
        assert (changed["zone"]["name"], changed["pool"]["name"], changed["cpu_over_commit_ratio"]) == (
            "dmz",
            "web",
            2.5,
        )
        assert changed["tags"] == ["x", "y", "pod-console-logging", "simulated"]
        again = await innkeeper.put(path, name="renamed")
        assert lasting(again) == {**lasting(changed), "name": "renamed"}
        assert lasting(await innkeeper.put(path, name="renamed", type="simulated")) == lasting(again)


async def test_an_updates_bad_values_change_nothing(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
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
            with pytest.raises(InvalidRequest) as refused:
                await innkeeper.put(path, **{"name": "other", **changes})
            assert list(refused.value.fields) == [field], changes
        assert lasting(await innkeeper.get(path)) == lasting(host)


async def test_an_update_may_not_take_the_place_of_another_host(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        one, two = await innkeeper.add_simulated("one"), await innkeeper.add_simulated("two")
        address = (await innkeeper.get(f"vm-hosts/{one['id']}/", op="parameters"))["power_address"]
        with pytest.raises(InnkeeperError, match="already exist"):
            await innkeeper.put(f"vm-hosts/{two['id']}/", power_address=address)


async def test_more_hardware_is_seen_at_the_update_that_names_it(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=4)
        grown = await innkeeper.put(f"vm-hosts/{host['id']}/", power_address="simulated:sim?cores=16&memory_mib=12288")
        assert grown["total"]["cores"] == 16


async def test_a_host_without_machines_may_move_to_another_server(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated("old", guests=2)
        stays = await innkeeper.add_simulated("old", delay_ms=1)
        for left in (1, 2, 2):  # to where another host is, to a new server, and there again
            path = f"vm-hosts/{host['id']}/"
            moved = await innkeeper.put(path, power_address=f"simulated:new{left}?cores=9&guests={left}")
            assert (moved["total"]["cores"], moved["used"]["cores"]) == (9, left)
            assert [pool["default"] for pool in moved["storage_pools"]] == [True]
            assert await count(innkeeper, "server") == 2
            assert await count(innkeeper, "guest") == 2 + left
        assert (await innkeeper.get(f"vm-hosts/{stays['id']}/"))["used"]["cores"] == 2


async def test_a_host_with_machines_does_not_become_another_server(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated("old")
        made = await innkeeper.compose(host["id"])
        path = f"vm-hosts/{host['id']}/"
        before = await innkeeper.get(path)
        address = (await innkeeper.get(path, op="parameters"))["power_address"]
        await innkeeper.put(path, power_address="simulated:new?cores=9")
        with pytest.raises(InnkeeperError, match="leads to another server now"):
            await innkeeper.post(path, op="refresh")
        known = await innkeeper.region.parts.services.hosts.read(host["id"])
        assert (known.error_code, known.total and known.total.cores) == ("wrong_state", 4)
        assert await count(innkeeper, "server") == 1
        assert lasting(await innkeeper.put(path, power_address=address)) == lasting(before)
        assert (await innkeeper.get(f"machines/{made['system_id']}/"))["status_name"] == "Ready"


async def test_the_default_storage_pool_is_where_disks_go(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(pools=2)
        await innkeeper.put(f"vm-hosts/{host['id']}/", default_storage_pool="fast")
        await innkeeper.compose(host["id"], storage="10")
        after = await innkeeper.get(f"vm-hosts/{host['id']}/")
        used = {pool["name"]: (pool["used"], pool["default"]) for pool in after["storage_pools"]}
        assert used == {"default": (0, False), "fast": (10 * 10**9, True)}


# Tags and parameters -------------------------------------------------------------------------------------------------


async def test_tags_that_are_added_at_once_are_all_kept(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        path = f"vm-hosts/{(await innkeeper.add_simulated())['id']}/"
        await asyncio.gather(*(innkeeper.post(path, op="add_tag", tag=f"t{number % 6}") for number in range(12)))
        assert sorted((await innkeeper.get(path))["tags"]) == [
            "pod-console-logging",
            "simulated",
            *(f"t{n}" for n in range(6)),
        ]
        await asyncio.gather(*(innkeeper.post(path, op="remove_tag", tag=f"t{number}") for number in range(4)))
        assert sorted((await innkeeper.get(path))["tags"]) == ["pod-console-logging", "simulated", "t4", "t5"]
        assert sorted((await innkeeper.post(path, op="remove_tag", tag="absent"))["tags"])[2:] == ["t4", "t5"]


async def test_parameters_are_texts_and_never_our_private_key(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        host = await innkeeper.post(
            "vm-hosts/", type="virsh", power_address="qemu+ssh://u@127.0.0.1:1/system", power_pass=PHRASE
        )
        found = await innkeeper.get(f"vm-hosts/{host['id']}/", op="parameters")
        assert all(isinstance(value, str) for value in found.values())
        assert found["power_pass"] == PHRASE
        assert found["ssh_public_key"].startswith("ssh-")
        assert "PRIVATE" not in str(found)
        async with innkeeper.region.parts.database.connection() as db:
            sealed = await secret_store.of_host(db, host["id"])
        assert set(sealed) == {"power_pass", "ssh_private_key"}
        assert PHRASE.encode() not in b"".join(sealed.values())


# Two hosts on one server ---------------------------------------------------------------------------------------------


async def test_two_hosts_on_one_server_share_its_capacity(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        one = await innkeeper.add_simulated()
        two = await innkeeper.add_simulated(delay_ms=1)
        assert await count(innkeeper, "server") == 1
        await innkeeper.compose(one["id"], cores=3, memory=1024)
        with pytest.raises(InnkeeperError, match="cores: 2 asked, 1 of 4"):
            await innkeeper.compose(two["id"], cores=2, memory=1024)
        await innkeeper.compose(two["id"], cores=1, memory=1024)
        for host in (one, two):
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        states = {machine["status_name"] for machine in await innkeeper.get("machines/")}
        assert states == {"Ready"}, "neither host takes the other's machine for a missing or a foreign one"


async def test_guests_left_by_a_removed_host_still_count_for_the_one_that_shares_its_server(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        one = await innkeeper.add_simulated()
        two = await innkeeper.add_simulated(delay_ms=1)
        await innkeeper.compose(one["id"], cores=3, memory=1024)
        await innkeeper.delete(f"vm-hosts/{one['id']}/")

        async def is_counted() -> bool:
            return bool((await innkeeper.get(f"vm-hosts/{two['id']}/"))["used"]["cores"] == 3)

        await eventually(is_counted)
        assert len(innkeeper.simulated_guests()) == 1
