"""Allocate and release through API, region, ledger, operations, link, rack and the simulated driver."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.errors import InnkeeperError, OutOfCapacity, RackUnreachable
from regiond.machines.arrivals.allocation.service import Allocator
from regiond.machines.arrivals.compose.service import Composer
from regiond.machines.values.requests import AllocateRequest
from regiond.operations.model import Operation
from tests.deployment.deployment import Deployment
from tests.doubles.signatures import in_place_of
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.users import as_user
from tests.support.clock import advance
from tests.support.rejections import invalid_fields, rejection
from tests.support.waiting import eventually


async def allocate(innkeeper: Deployment, **fields: Any) -> Any:
    headers = fields.pop("headers", None)
    return await innkeeper.post("machines/", op="allocate", headers=headers, **fields)


async def rejected(innkeeper: Deployment, **fields: Any) -> InnkeeperError:
    error = await rejection(allocate(innkeeper, **fields))
    assert "Retry-After" not in error.details.get("headers", {})
    return error


async def test_the_cheapest_ready_machine_is_allocated_or_one_is_composed(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=16, memory_mib=65536)
    for cores, hostname in ((4, "large"), (2, "small"), (3, "middle")):
        await innkeeper.compose(host["id"], cores=cores, memory=2048, hostname=hostname)
    ann = await as_user(innkeeper, "ann")
    allocated = [await allocate(ann, cpu_count=3, mem="1024.0", agent_name="juju", comment="x") for _ in range(3)]
    assert [one["hostname"] for one in allocated[:2]] == ["middle", "large"]
    assert [one["status_name"] for one in allocated] == ["Allocated"] * 3
    composed = allocated[2]
    assert (composed["owner"], composed["agent_name"]) == ("ann", "juju")
    assert (composed["cpu_count"], composed["memory"]) == (3, 1024)
    assert composed["hostname"] in innkeeper.simulated_guests()
    found = await ann.get("machines/?agent_name=juju&status=allocated")
    assert {one["hostname"] for one in found} == {"middle", "large", composed["hostname"]}
    released = await ann.post("machines/", op="release", machines=allocated[0]["system_id"])
    assert released == [allocated[0]["system_id"]]
    deleted = await ann.post(f"machines/{composed['system_id']}/", op="release")
    assert deleted["status_name"] == "Releasing"
    assert len(innkeeper.simulated_guests()) == 3
    events = (await innkeeper.get("events/", op="query"))["events"]
    details = [one["details"] for one in events if one["kind"] == "machine_allocated"]
    assert details == [{"comment": "x"}] * 3
    kinds = {one["kind"]: one["state"] for one in await innkeeper.get("operations/")}
    assert {"allocate", "release", "compose", "delete"} <= kinds.keys()


async def test_a_named_machine_that_is_locked_for_a_moment_is_allocated(innkeeper: Deployment) -> None:
    """As while the change of its guest is recorded that follows a release: Terraform allocates it at once."""
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="web")
    async with innkeeper.connection() as other:
        async with other.transaction():
            await other.execute("select 1 from machine where hostname = 'web' for update")
            task = asyncio.create_task(allocate(innkeeper, name="web"))
            done, _ = await asyncio.wait({task}, timeout=0.3)
            assert not done
        assert (await task)["status_name"] == "Allocated"


async def test_the_only_ready_machine_is_allocated_though_locked_for_a_moment(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="web")
    monkeypatch.setattr("regiond.machines.arrivals.allocation.service._LOCK_RETRY_S", 30.0)
    async with innkeeper.connection() as other:
        async with other.transaction():
            await other.execute("select 1 from machine where hostname = 'web' for update")
            task = asyncio.create_task(allocate(innkeeper))
            done, _ = await asyncio.wait({task}, timeout=0.3)
            assert not done
        await advance(31)
        assert (await task)["hostname"] == "web"


async def test_a_locked_machine_delays_no_other_allocation(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    for cores, hostname in ((1, "small"), (2, "large")):
        await innkeeper.compose(host["id"], cores=cores, memory=1024, hostname=hostname)
    async with innkeeper.region.components.database.transaction() as other:
        await other.execute("select 1 from machine where hostname = 'small' for update")
        allocated = await allocate(innkeeper)
    assert allocated["hostname"] == "large"


async def test_labels_map_to_the_requested_disks_and_nics(innkeeper: Deployment) -> None:
    networks = "front:10.1.0.0/24:0,back:10.2.0.0/24:0"
    host = await innkeeper.add_simulated(cores=8, pools="default:100,fast:50", networks=networks)
    existing = await innkeeper.compose(host["id"], storage="8,20,6(fast)", interfaces="a:name=front;b:name=back")
    constraints = {"storage": "root:0,0:5(fast),1:10", "interfaces": "x:subnet_cidr=10.2.0.0/24"}
    dry = await allocate(innkeeper, dry_run="true", **constraints)
    assert (dry["system_id"], dry["status_name"]) == (existing["system_id"], "Ready")
    for expected in (existing["system_id"], None):
        allocated = await allocate(innkeeper, verbose="true", **constraints)
        assert expected in (None, allocated["system_id"])
        sizes = {str(disk["id"]): disk["size"] // 10**9 for disk in allocated["blockdevice_set"]}
        by_type = allocated["constraints_by_type"]
        assert allocated["constraint_map"] == {str(ids[0]): label for label, ids in by_type["storage"].items()}
        assert set(by_type["storage"]) == {"root", "0", "1"}
        assert sizes[str(by_type["storage"]["1"][0])] >= 10
        assert [disk["tags"] for disk in allocated["verbose_storage"]["0"]] == [["fast"]]
        (nic,) = allocated["verbose_interfaces"]["x"]
        assert [nic["id"]] == by_type["interfaces"]["x"]
        assert nic["links"][0]["subnet"]["cidr"] == "10.2.0.0/24"
    both = await rejected(innkeeper, subnets="10.1.0.0/24", not_subnets="10.1.0.0/24")
    assert both.details["status"] == 409


@pytest.mark.slow
async def test_filters_apply_to_hosts_and_machines_alike(innkeeper: Deployment) -> None:
    await innkeeper.post("zones/", name="east")
    await innkeeper.post("resourcepools/", name="web")
    one, two = [await innkeeper.add_simulated(name) for name in ("one", "two")]
    await innkeeper.put(f"vm-hosts/{two['id']}/", zone="east", pool="web", tags="ssd")
    for fields in (
        {"zone": "east"}, {"not_in_zone": "default"}, {"pool": "web"}, {"not_in_pools": "default"}, {"pod": "two"},
        {"not_pod": "one"}, {"tags": "ssd pod-console-logging"}, {"not_pod": one["id"], "arch": "amd64/generic"},
    ):  # fmt: skip
        fields = {"mem": 1024, **fields}  # noqa: PLW2901
        allocated = await allocate(innkeeper, **fields)
        assert allocated["pod"]["name"] == "two", fields
        dry = await allocate(innkeeper, dry_run="true", **fields)
        assert (dry["system_id"], dry["explanation"]["chosen"]) == (None, "two"), fields
        if "zone" in fields or "not_in_zone" in fields:
            assert allocated["zone"]["name"] == "east"
        await innkeeper.post(f"machines/{allocated['system_id']}/", op="release")
    assert (await allocate(innkeeper, not_tags="ssd"))["pod"]["name"] == "one"
    await innkeeper.post("tags/", name="gpu")
    for fields, reason in (
        ({"pod_type": "lxd"}, "type is simulated, needs lxd"),
        ({"not_pod_type": "simulated"}, "type simulated is excluded"),
        ({"arch": "arm64"}, "architecture is amd64, needs arm64"),
        ({"not_arch": "amd64"}, "architecture amd64 is excluded"),
        ({"tags": "gpu"}, "lacks the tag gpu"),
    ):
        error = await rejected(innkeeper, **fields)
        assert error.details["status"] == 409
        assert f"one: {reason}" in error.message
        assert "two: " in error.message
    for fields, field in (
        ({"zone": "nowhere"}, "zone"), ({"pod": "unknown"}, "pod"), ({"subnets": "no-such"}, "subnets"),
        ({"storage": "8gb"}, "storage"), ({"interfaces": "x:y=z"}, "interfaces"), ({"fabrics": "a=b"}, "fabrics"),
        ({"tags": "ssd,typo"}, "tags"), ({"not_tags": "typo"}, "not_tags"), ({"arch": "sparc/generic"}, "arch"),
        ({"not_arch": "sparc"}, "not_arch"), ({"vlans": "vid:77"}, "vlans"), ({"not_vlans": "lan"}, "not_vlans"),
        ({"fabric_classes": "10g"}, "fabric_classes"), ({"bridge_all": "true"}, "bridge_all"),
    ):  # fmt: skip
        assert [*await invalid_fields(allocate(innkeeper, **fields))] == [field]


@pytest.mark.parametrize(
    "name",
    [
        "min_cpu_count",
        "devices",
        "power_state",
        "connected_to",
        "networks",
        "hostname",
        "not_power_state",
    ],
)
async def test_a_constraint_that_is_not_known_is_an_error(innkeeper: Deployment, name: str) -> None:
    """In MAAS's words: a machine that does not meet it would be taken for one that does."""
    await innkeeper.add_simulated()
    fields = await invalid_fields(allocate(innkeeper, **{name: "9999"}))
    assert [*fields] == [name]
    assert fields[name][0].startswith("No such constraint.")
    assert innkeeper.simulated_guests() == []


async def test_every_constraint_on_networks_is_met(innkeeper: Deployment) -> None:
    networks = "front:10.1.0.0/24:0,back:10.2.0.0/24:77"
    host = await innkeeper.add_simulated(cores=16, networks=networks)
    for hostname, network in (("infront", "front"), ("behind", "back")):
        await innkeeper.compose(host["id"], hostname=hostname, interfaces=f"a:name={network}")
    vlans = {
        name: (await innkeeper.get(f"machines/{name}/"))["interface_set"][0]["vlan"] for name in ("infront", "behind")
    }
    await innkeeper.put(f"fabrics/{vlans['behind']['fabric_id']}/", class_type="10g")
    behind, elsewhere = vlans["behind"]["id"], vlans["infront"]["id"]
    for fields in (
        {"vlans": "vid:77"}, {"vlans": f"id:{behind}"}, {"vlans": "77"}, {"not_vlans": f"id:{elsewhere}"},
        {"fabric_classes": "10g"}, {"vlans": f"fabric:{vlans['behind']['fabric']}"},
        {"not_fabrics": vlans["infront"]["fabric"]},
    ):  # fmt: skip
        dry = await allocate(innkeeper, dry_run="true", **fields)
        assert dry["hostname"] == "behind", fields
    allocated = await allocate(innkeeper, name="behind")
    assert allocated["hostname"] == "behind"
    assert (await rejected(innkeeper, link_speed=100000)).details["status"] == 409
    composed = await allocate(innkeeper, vlans="vid:77", cpu_count=1)
    assert composed["hostname"] != "infront"
    assert [nic["vlan"]["vid"] for nic in composed["interface_set"]] == [77]
    others = await allocate(innkeeper, not_fabric_classes="10g", not_vlans=f"id:{behind}")
    assert others["hostname"] == "infront"


@pytest.mark.slow
async def test_slower_hosts_than_demanded_are_passed_over(innkeeper: Deployment) -> None:
    for name in ("slow", "fast"):
        host = await innkeeper.add_simulated(name)
        await innkeeper.compose(host["id"], hostname=f"on-{name}", cores=1, memory=1024)
    async with innkeeper.connection() as db:
        speeds = "update server s set cpu_speed_mhz = case h.name when 'fast' then 3000 else 1000 end"
        await db.execute(f"{speeds} from vm_host h where h.server_id = s.id")
    dry = await allocate(innkeeper, cpu_speed=2000, dry_run="true")
    assert dry["hostname"] == "on-fast"
    assert (await allocate(innkeeper, cpu_speed=2000))["hostname"] == "on-fast"
    assert (await allocate(innkeeper, cpu_speed=2000))["pod"]["name"] == "fast"
    assert (await rejected(innkeeper, cpu_speed=4000)).details["status"] == 409


async def test_no_match_is_409_with_reasons_and_a_dry_run_writes_nothing(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=4)
    dry = await allocate(innkeeper, cpu_count=2, dry_run="true", storage="root:9,data:3")
    assert (dry["would_compose"]["cpu_count"], dry["explanation"]["chosen"]) == (2, "sim")
    assert dry["constraints_by_type"] == {"storage": {"root": [], "data": []}, "interfaces": {}}
    assert (innkeeper.simulated_guests(), await innkeeper.get("machines/")) == ([], [])
    for dry_run in ("true", "false"):
        error = await rejected(innkeeper, cpu_count=5, mem=2048, dry_run=dry_run)
        assert error.details["status"] == 409
        assert error.message == (
            "No available machine matches cpu_count=5, mem=2048. "
            "sim: needs 5 cores, 4 free (4 cores × ratio 1.0 = 4 claimable, 0 claimed, 0 elsewhere on the server)"
        )
    (stored,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "compose"]
    assert (stored["state"], stored["error"]["code"]) == ("failed", "none_available")
    assert stored["explanation"]["rejected"][0]["host"] == "sim"
    error = await rejected(innkeeper, system_id="abcdef")
    assert (error.details["status"], error.message) == (409, "No machine with system ID abcdef available.")
    error = await rejected(innkeeper, name="unknown")
    assert error.message.startswith("No available machine matches name=unknown.")


async def test_concurrent_callers_never_get_the_same_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=15, memory_mib=65536, storage_gb=1000)
    for _ in range(10):
        await innkeeper.compose(host["id"], cores=1, memory=1024)
    allocated = await asyncio.gather(*(allocate(innkeeper, mem=1024) for _ in range(20)), return_exceptions=True)
    machines = {one["system_id"] for one in allocated if isinstance(one, dict)}
    rejections = [one.details["status"] for one in allocated if isinstance(one, InnkeeperError)]
    assert (len(machines), rejections) == (15, [409] * 5)
    assert {each["status_name"] for each in await innkeeper.get("machines/")} == {"Allocated"}
    assert len(innkeeper.simulated_guests()) == 15


async def test_requests_with_one_idempotency_key_get_one_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], memory=1024, hostname="existing")
    for key, allocated_count in (("a", 1), ("c", 2)):  # the first is there already, the second is composed
        if key == "a":
            assert (await allocate(innkeeper, headers={"Idempotency-Key": key}))["hostname"] == "existing"
        alike = await asyncio.gather(*(allocate(innkeeper, headers={"Idempotency-Key": key}) for _ in range(4)))
        assert len({one["system_id"] for one in alike}) == 1
        assert len(await innkeeper.get("machines/", op="list_allocated")) == allocated_count
    later = {"Idempotency-Key": "b", "Prefer": "respond-async"}
    operation = await allocate(innkeeper, headers=later)
    assert operation["kind"] == "compose"

    async def owned() -> Any:
        found = await innkeeper.get(f"machines/{operation['system_id']}/")
        return found if found["status_name"] == "Allocated" else None

    machine = await eventually(owned)
    again = await allocate(innkeeper, headers={"Idempotency-Key": "b"})
    assert (again["system_id"], again["owner"]) == (machine["system_id"], "admin")
    error = await rejected(innkeeper, headers={"Idempotency-Key": "b"}, cpu_count=2)
    assert error.details["status"] == 422


async def test_a_missing_machine_that_reappears_has_its_old_owner(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    allocated = await allocate(innkeeper)
    rows(innkeeper, "create table away as select * from guest")
    rows(innkeeper, "delete from guest")
    await refresh(innkeeper, host)
    machine = f"machines/{allocated['system_id']}/"
    assert (await innkeeper.get(machine))["status_name"] == "Missing"
    await innkeeper.post(machine, op="mark_broken")
    await refresh(innkeeper, host)
    assert (await innkeeper.get(machine))["status_name"] == "Broken"
    assert (await innkeeper.post(machine, op="mark_fixed"))["status_name"] == "New"
    rows(innkeeper, "insert into guest select * from away")
    await refresh(innkeeper, host)
    restored = await innkeeper.get(machine)
    assert (restored["status_name"], restored["owner"]) == ("Allocated", "admin")


async def test_without_a_rack_allocate_answers_503(innkeeper: Deployment) -> None:
    """As in the first seconds after a region starts: the client must retry."""
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], hostname="existing", cores=1)
    await innkeeper.stop_rack("rack")
    assert (await allocate(innkeeper))["hostname"] == "existing"
    error = await rejected(innkeeper)
    assert (error.details["status"], "no rack is connected" in error.message) == (503, True)
    await innkeeper.start_rack("rack")
    assert (await allocate(innkeeper))["hostname"] in innkeeper.simulated_guests()


class ComposerWithALateRack:
    """No host fits because no rack is connected; one connects meanwhile."""

    has_racks = False

    async def reserve(self, *_: Any, **__: Any) -> Operation:
        self.has_racks = True
        raise OutOfCapacity("No connected rack reaches a host.")


async def test_a_rack_that_connects_during_placement_causes_a_retry(innkeeper: Deployment) -> None:
    components: Any = innkeeper.region.components
    allocator = Allocator(
        components.database, components.services.operations, components.services.hosts, components.services.groups,
        in_place_of(Composer, ComposerWithALateRack()),
    )  # fmt: skip
    with pytest.raises(RackUnreachable, match="no rack is connected"):
        await allocator.start(innkeeper.admin, AllocateRequest())
