"""Hosts in a whole installation: added, changed, tagged, shared and removed, with what people are told of each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest, NotFound
from regiond.credentials import store as secret_store
from tests.installation import Installation, installed
from tests.waiting import eventually

PHRASE = "a pass phrase"
SIM = "simulated:sim?cores=4&memory_mib=12288"


def lasting(host: dict[str, Any]) -> dict[str, Any]:
    """All but when it was looked at."""
    return {key: value for key, value in host.items() if key != "refreshed_at"}


async def count(innkeeper: Installation, table: str) -> int:
    async with innkeeper.region.parts.database.connection() as db:
        found: int = await db.fetchval(f"select count(*) from {table}")  # noqa: S608  # tables of ours, named below
        return found


async def ended(innkeeper: Installation, operation_id: int) -> Any:
    async def look() -> Any:
        operation = await innkeeper.get(f"operations/{operation_id}/")
        return operation if operation["state"] in ("succeeded", "failed", "cancelled") else None

    return await eventually(look)


async def remove(innkeeper: Installation, host_id: int, *, decompose: bool = False) -> Any:
    """The operation, just begun."""
    return (
        await innkeeper.api.send(
            "DELETE",
            f"vm-hosts/{host_id}/",
            query=[("decompose", str(decompose).lower())],
            headers={"Prefer": "respond-async"},
        )
    ).json()


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


# Removing ------------------------------------------------------------------------------------------------------------


async def test_a_removed_host_leaves_its_guests_running_and_no_row_behind(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1)
        await innkeeper.compose(host["id"], hostname="kept")
        assert (await innkeeper.delete(f"vm-hosts/{host['id']}/")).status == 204
        assert innkeeper.simulated_guests() == ["foreign-0001", "kept"]
        for table in ("vm_host", "server", "machine", "guest", "claim", "storage_pool", "secret", "machine_disk"):
            assert await count(innkeeper, table) == 0, table
        with pytest.raises(NotFound):
            await innkeeper.get(f"vm-hosts/{host['id']}/")
        (operation, *_) = await innkeeper.get("operations/")
        assert (operation["kind"], operation["state"]) == ("remove_host", "succeeded")


async def test_a_host_added_again_finds_its_old_guests_and_leaves_them_alone(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.compose(host["id"], cores=2, hostname="kept")
        await innkeeper.delete(f"vm-hosts/{host['id']}/")
        again = await innkeeper.add_simulated()
        assert again["used"]["cores"] == 2
        await innkeeper.post(f"vm-hosts/{again['id']}/", op="refresh")
        assert innkeeper.simulated_guests() == ["kept"]


async def test_decompose_destroys_our_machines_each_by_an_operation_and_no_other_guest(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1, cores=8)
        made = [await innkeeper.compose(host["id"], cores=1, memory=1024) for _ in range(3)]
        assert (await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true")).status == 204
        assert innkeeper.simulated_guests() == ["foreign-0001"]
        assert await innkeeper.get("machines/") == []
        operations = await innkeeper.get("operations/")
        deleted = {one["system_id"] for one in operations if one["kind"] == "delete" and one["state"] == "succeeded"}
        assert deleted == {one["system_id"] for one in made}
        assert await count(innkeeper, "tombstone") == 3


async def test_a_decompose_that_fails_keeps_the_host_and_names_the_machine(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        path = f"vm-hosts/{host['id']}/"
        await innkeeper.compose(host["id"], hostname="stubborn")
        address = (await innkeeper.get(path, op="parameters"))["power_address"]
        await innkeeper.put(path, power_address=address.replace("fault_rate=0", "fault_rate=1"))
        operation = await ended(innkeeper, (await remove(innkeeper, host["id"], decompose=True))["id"])
        assert (operation["state"], operation["error"]["code"]) == ("failed", "driver_failed")
        assert "1 machines could not be destroyed" in operation["error"]["message"]
        assert "stubborn: " in operation["error"]["message"]
        assert innkeeper.simulated_guests() == ["stubborn"]
        await innkeeper.put(path, power_address=address)
        (machine,) = await innkeeper.get("machines/")
        assert (machine["hostname"], machine["status_name"]) == ("stubborn", "Ready")
        await innkeeper.compose(host["id"], cores=1, memory=1024)
        assert (await innkeeper.delete(path, decompose="true")).status == 204
        assert innkeeper.simulated_guests() == []


async def test_a_removal_waits_for_the_compose_that_is_under_way(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        with innkeeper.held("make volume"):
            composing = asyncio.create_task(innkeeper.compose(host["id"], hostname="late"))
            await eventually(lambda: count(innkeeper, "machine"))
            removal = await remove(innkeeper, host["id"])
            with pytest.raises(InnkeeperError, match="removed"):
                await innkeeper.compose(host["id"])
        await composing
        assert (await ended(innkeeper, removal["id"]))["state"] == "succeeded"
        assert innkeeper.simulated_guests() == ["late"]
        assert await count(innkeeper, "claim") == 0


async def test_a_removal_with_decompose_destroys_what_is_being_composed_too(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=8)
        await innkeeper.compose(host["id"], hostname="first", cores=1)
        with innkeeper.held("make volume"):
            composing = asyncio.create_task(innkeeper.compose(host["id"], hostname="second", cores=1))
            await eventually(lambda: _machines(innkeeper, 2))
            removal = await remove(innkeeper, host["id"], decompose=True)
        await composing
        assert (await ended(innkeeper, removal["id"]))["state"] == "succeeded"
        assert innkeeper.simulated_guests() == []


async def test_composes_and_a_removal_at_once_leave_no_machine_without_a_host(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=64, memory_mib=65536, storage_gb=1000)

        async def one() -> int:
            try:
                await innkeeper.compose(host["id"], cores=1, memory=1024)
            except InnkeeperError as error:
                return int(error.details["status"])
            return 200

        made = asyncio.gather(*(one() for _ in range(12)))
        removal = await remove(innkeeper, host["id"], decompose=True)
        assert 500 not in await made
        operation = await ended(innkeeper, removal["id"])
        assert operation["state"] == "succeeded", operation["error"]
        assert innkeeper.simulated_guests() == []
        assert await count(innkeeper, "machine") == 0


async def test_many_who_remove_a_host_at_once_share_one_operation(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.compose(host["id"])
        with innkeeper.held():
            removals = await asyncio.gather(*(remove(innkeeper, host["id"], decompose=True) for _ in range(5)))
            assert len({one["id"] for one in removals}) == 1
            with pytest.raises(InnkeeperError, match="being removed with its machines already"):
                await remove(innkeeper, host["id"], decompose=False)
        assert (await ended(innkeeper, removals[0]["id"]))["state"] == "succeeded"


async def test_a_host_that_is_removed_during_a_refresh_leaves_nothing(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=2)
        with innkeeper.held():
            refreshing = asyncio.create_task(innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh"))
            await eventually(lambda: _step(innkeeper, "discover"))
            removal = await remove(innkeeper, host["id"])
            assert (await ended(innkeeper, removal["id"]))["state"] == "succeeded"
        with pytest.raises(NotFound):
            await refreshing
        for table in ("vm_host", "server", "guest", "claim"):
            assert await count(innkeeper, table) == 0, table
        assert (await innkeeper.add_simulated(guests=2))["used"]["cores"] == 2


async def test_refreshes_and_removals_at_once_never_meet_a_bug(tmp_path: Path, database_url: str) -> None:
    """Both hosts are on one server; each round, one is refreshed again and again while the other is removed."""
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        kept = await innkeeper.add_simulated(guests=3)
        for _ in range(4):
            other = await innkeeper.add_simulated(delay_ms=1)
            refreshes = [
                asyncio.create_task(innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh"))
                for host in (kept, other, kept, other)
            ]
            await innkeeper.delete(f"vm-hosts/{other['id']}/")
            outcomes = await asyncio.gather(*refreshes, return_exceptions=True)
            assert all(isinstance(one, dict | NotFound) for one in outcomes), outcomes
        assert (await innkeeper.get(f"vm-hosts/{kept['id']}/"))["used"]["cores"] == 3
        codes = {operation["error"]["code"] for operation in await innkeeper.get("operations/") if operation["error"]}
        assert codes <= {"not_found"}


async def _machines(innkeeper: Installation, wanted: int) -> bool:
    return await count(innkeeper, "machine") == wanted


async def _step(innkeeper: Installation, step: str) -> bool:
    async with innkeeper.region.parts.database.connection() as db:
        return bool(await db.fetchval("select 1 from operation where state = 'running' and step = $1", step))
