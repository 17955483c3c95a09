"""Allocate and release through API, region, ledger, operations, link, rack and driver; hypervisors are simulated."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest, OutOfCapacity
from regiond.machines.composing import Composer
from regiond.operations.model import Operation
from tests.installation import Installation, installed
from tests.integration.users import as_user
from tests.waiting import eventually


async def allocate(innkeeper: Installation, **fields: Any) -> Any:
    headers = fields.pop("headers", None)
    return await innkeeper.post("machines/", op="allocate", headers=headers, **fields)


async def refused(innkeeper: Installation, **fields: Any) -> InnkeeperError:
    with pytest.raises(InnkeeperError) as error:
        await allocate(innkeeper, **fields)
    assert "Retry-After" not in error.value.details.get("headers", {})
    return error.value


async def test_the_cheapest_ready_machine_is_taken_first_and_one_is_composed_when_there_is_none(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=16, memory_mib=65536)
        for cores, hostname in ((4, "large"), (2, "small"), (3, "middle")):
            await innkeeper.compose(host["id"], cores=cores, memory=2048, hostname=hostname)
        ann = await as_user(innkeeper, "ann")
        got = [await allocate(ann, cpu_count=3, mem="1024.0", agent_name="juju", comment="x") for _ in range(3)]
        assert [one["hostname"] for one in got[:2]] == ["middle", "large"]
        assert [one["status_name"] for one in got] == ["Allocated"] * 3
        made = got[2]
        assert (made["owner"], made["agent_name"], made["cpu_count"], made["memory"]) == ("ann", "juju", 3, 1024)
        assert made["hostname"] in innkeeper.simulated_guests()
        found = await ann.get("machines/?agent_name=juju&status=allocated")
        assert {one["hostname"] for one in found} == {"middle", "large", made["hostname"]}
        released = await ann.post("machines/", op="release", machines=got[0]["system_id"])
        assert released == [got[0]["system_id"]]
        gone = await ann.post(f"machines/{made['system_id']}/", op="release")
        assert gone["status_name"] == "Releasing"
        assert len(innkeeper.simulated_guests()) == 3
        events = (await innkeeper.get("events/", op="query"))["events"]
        told = [one["details"] for one in events if one["kind"] == "machine_allocated"]
        assert told == [{"comment": "x"}] * 3
        kinds = {one["kind"]: one["state"] for one in await innkeeper.get("operations/")}
        assert {"allocate", "release", "compose", "delete"} <= kinds.keys()


async def test_a_machine_that_somebody_is_about_to_take_keeps_nobody_waiting(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        for cores, hostname in ((1, "small"), (2, "large")):
            await innkeeper.compose(host["id"], cores=cores, memory=1024, hostname=hostname)
        async with innkeeper.region.parts.database.transaction() as other:
            await other.execute("select 1 from machine where hostname = 'small' for update")
            got = await allocate(innkeeper)
        assert got["hostname"] == "large"


async def test_labels_mean_the_disks_and_cards_that_were_asked_for(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        networks = "front:10.1.0.0/24:0,back:10.2.0.0/24:0"
        host = await innkeeper.add_simulated(cores=8, pools="default:100,fast:50", networks=networks)
        there = await innkeeper.compose(host["id"], storage="8,20,6(fast)", interfaces="a:name=front;b:name=back")
        asked = {"storage": "root:0,0:5(fast),1:10", "interfaces": "x:subnet_cidr=10.2.0.0/24"}
        dry = await allocate(innkeeper, dry_run="true", **asked)
        assert (dry["system_id"], dry["status_name"]) == (there["system_id"], "Ready")
        for expected in (there["system_id"], None):
            got = await allocate(innkeeper, verbose="true", **asked)
            assert expected in (None, got["system_id"])
            sizes = {str(disk["id"]): disk["size"] // 10**9 for disk in got["blockdevice_set"]}
            by_type = got["constraints_by_type"]
            assert got["constraint_map"] == {str(ids[0]): label for label, ids in by_type["storage"].items()}
            assert set(by_type["storage"]) == {"root", "0", "1"}
            assert sizes[str(by_type["storage"]["1"][0])] >= 10
            assert [disk["tags"] for disk in got["verbose_storage"]["0"]] == [["fast"]]
            (card,) = got["verbose_interfaces"]["x"]
            assert [card["id"]] == by_type["interfaces"]["x"]
            assert card["links"][0]["subnet"]["cidr"] == "10.2.0.0/24"
        none = await refused(innkeeper, subnets="10.1.0.0/24", not_subnets="10.1.0.0/24")
        assert none.details["status"] == 409


async def test_hosts_and_machines_are_narrowed_alike(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await innkeeper.post("zones/", name="east")
        await innkeeper.post("resourcepools/", name="web")
        one, two = [await innkeeper.add_simulated(name) for name in ("one", "two")]
        await innkeeper.put(f"vm-hosts/{two['id']}/", zone="east", pool="web", tags="ssd")
        for fields in (
            {"zone": "east"}, {"not_in_zone": "default"}, {"pool": "web"}, {"not_in_pools": "default"}, {"pod": "two"},
            {"not_pod": "one"}, {"tags": "ssd pod-console-logging"}, {"not_pod": one["id"], "arch": "amd64/generic"},
        ):  # fmt: skip
            fields = {"mem": 1024, **fields}  # noqa: PLW2901
            made = await allocate(innkeeper, **fields)
            assert made["pod"]["name"] == "two", fields
            dry = await allocate(innkeeper, dry_run="true", **fields)
            assert (dry["system_id"], dry["explanation"]["chosen"]) == (None, "two"), fields
            if "zone" in fields or "not_in_zone" in fields:
                assert made["zone"]["name"] == "east"
            await innkeeper.post(f"machines/{made['system_id']}/", op="release")
        assert (await allocate(innkeeper, not_tags="ssd"))["pod"]["name"] == "one"
        for fields, reason in (
            ({"pod_type": "lxd"}, "type: lxd asked, the host is simulated"),
            ({"not_pod_type": "simulated"}, "type: not simulated asked"),
            ({"arch": "arm64"}, "architecture: arm64 asked, the host is amd64"),
            ({"not_arch": "amd64"}, "architecture: not amd64 asked, the host is amd64"),
            ({"tags": "gpu"}, "tags: gpu asked, the host has no gpu"),
        ):
            error = await refused(innkeeper, **fields)
            assert error.details["status"] == 409
            assert f"one: {reason}" in error.message
            assert "two: " in error.message
        for fields, field in (
            ({"zone": "nowhere"}, "zone"), ({"pod": "nobody"}, "pod"), ({"subnets": "no-such"}, "subnets"),
            ({"storage": "8gb"}, "storage"), ({"interfaces": "x:y=z"}, "interfaces"), ({"fabrics": "a=b"}, "fabrics"),
        ):  # fmt: skip
            with pytest.raises(InvalidRequest) as wrong:
                await allocate(innkeeper, **fields)
            assert list(wrong.value.fields) == [field]


async def test_nothing_found_is_409_with_what_each_host_lacked_and_a_dry_run_changes_nothing(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await innkeeper.add_simulated(cores=4)
        dry = await allocate(innkeeper, cpu_count=2, dry_run="true", storage="root:9,data:3")
        assert (dry["would_compose"]["cpu_count"], dry["explanation"]["chosen"]) == (2, "sim")
        assert dry["constraints_by_type"] == {"storage": {"root": [], "data": []}, "interfaces": {}}
        assert (innkeeper.simulated_guests(), await innkeeper.get("machines/")) == ([], [])
        for dry_run in ("true", "false"):
            error = await refused(innkeeper, cpu_count=5, mem=2048, dry_run=dry_run)
            assert error.details["status"] == 409
            assert error.message == (
                "No available machine matches constraints: [('cpu_count', ['5']), ('mem', ['2048'])] "
                '(resolved to "cpu_count=5 mem=2048"). sim: cores: 5 asked, 4 of 4 × 1.0 = 4 left'
            )
        (kept,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "compose"]
        assert (kept["state"], kept["error"]["code"]) == ("failed", "none_available")
        assert kept["explanation"]["refused"][0]["host"] == "sim"
        error = await refused(innkeeper, system_id="abcdef")
        assert (error.details["status"], error.message) == (409, "No machine with system ID abcdef available.")
        error = await refused(innkeeper, name="nobody")
        assert error.message.startswith("No available machine matches constraints: [('name', ['nobody'])]")


async def test_twenty_callers_at_once_never_get_one_machine_twice(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=15, memory_mib=65536, storage_gb=1000)
        for _ in range(10):
            await innkeeper.compose(host["id"], cores=1, memory=1024)

        async def one() -> str:
            try:
                return str((await allocate(innkeeper, mem=1024))["system_id"])
            except InnkeeperError as error:
                return str(error.details["status"])

        got = await asyncio.gather(*(one() for _ in range(20)))
        machines = [each for each in got if each != "409"]
        assert (len(machines), len(set(machines))) == (15, 15)
        assert {each["status_name"] for each in await innkeeper.get("machines/")} == {"Allocated"}
        assert len(innkeeper.simulated_guests()) == 15


async def test_an_idempotency_key_stands_for_one_machine_and_a_compose_may_be_answered_later(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.compose(host["id"], memory=1024, hostname="there")
        for key, taken in (("a", 1), ("c", 2)):  # one is there; then none is, and one is composed
            if key == "a":
                assert (await allocate(innkeeper, headers={"Idempotency-Key": key}))["hostname"] == "there"
            alike = await asyncio.gather(*(allocate(innkeeper, headers={"Idempotency-Key": key}) for _ in range(4)))
            assert len({one["system_id"] for one in alike}) == 1
            assert len(await innkeeper.get("machines/", op="list_allocated")) == taken
        later = {"Idempotency-Key": "b", "Prefer": "respond-async"}
        operation = await allocate(innkeeper, headers=later)
        assert operation["kind"] == "compose"

        async def owned() -> Any:
            found = await innkeeper.get(f"machines/{operation['system_id']}/")
            return found if found["status_name"] == "Allocated" else None

        machine = await eventually(owned)
        again = await allocate(innkeeper, headers={"Idempotency-Key": "b"})
        assert (again["system_id"], again["owner"]) == (machine["system_id"], "admin")
        error = await refused(innkeeper, headers={"Idempotency-Key": "b"}, cpu_count=2)
        assert error.details["status"] == 422


async def test_a_machine_that_goes_missing_comes_back_to_its_owner(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = await allocate(innkeeper)
        path, hypervisor = f"vm-hosts/{host['id']}/", innkeeper.folder / "simulated" / "sim.sqlite"
        with closing(sqlite3.connect(hypervisor)) as store, store:
            store.executescript("create table away as select * from guest; delete from guest")
        await innkeeper.post(path, op="refresh")
        machine = f"machines/{made['system_id']}/"
        assert (await innkeeper.get(machine))["status_name"] == "Missing"
        await innkeeper.post(machine, op="mark_broken")
        await innkeeper.post(path, op="refresh")
        assert (await innkeeper.get(machine))["status_name"] == "Broken"
        assert (await innkeeper.post(machine, op="mark_fixed"))["status_name"] == "New"
        with closing(sqlite3.connect(hypervisor)) as store, store:
            store.executescript("insert into guest select * from away")
        await innkeeper.post(path, op="refresh")
        back = await innkeeper.get(machine)
        assert (back["status_name"], back["owner"]) == ("Allocated", "admin")


async def test_while_no_rack_is_connected_nobody_is_told_that_no_machine_fits(
    tmp_path: Path, database_url: str
) -> None:
    """So it is for some seconds after a region has started: to ask again is right, to give up is not."""
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.compose(host["id"], hostname="there", cores=1)
        await innkeeper.stop_rack("rack")
        assert (await allocate(innkeeper))["hostname"] == "there"
        error = await refused(innkeeper)
        assert (error.details["status"], "no rack is connected" in error.message) == (503, True)
        await innkeeper.run_rack("rack")
        assert (await allocate(innkeeper))["hostname"] in innkeeper.simulated_guests()


async def test_a_rack_that_comes_in_while_hosts_are_looked_at_makes_no_refusal_of_it(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await innkeeper.add_simulated()
        await innkeeper.stop_rack("rack")
        opened = Composer.open

        async def rack_comes_in(self: Composer, *args: Any, **more: Any) -> Operation:
            try:
                return await opened(self, *args, **more)
            except OutOfCapacity:
                await innkeeper.run_rack("rack")
                raise

        monkeypatch.setattr(Composer, "open", rack_comes_in)
        assert (await refused(innkeeper)).details["status"] == 503
        assert (await allocate(innkeeper))["hostname"] in innkeeper.simulated_guests()
