"""Machines with constraints on simulated hosts: placement, claims, guests, release."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from common.guests.compose_request import ComposeRequest
from regiond.operations.model import Operation
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.support.rejections import invalid_fields, outcomes

TWO_NODES: dict[str, Any] = {
    "cores": 16, "memory_mib": 65536, "numa_nodes": 2, "threads_per_core": 2, "hugepages_mib": 16384,
    "hugepage_size_mib": 1024, "virtual_functions": "2x4", "pools": "default:500,fast:100",
    "networks": "lan:10.1.0.0/24,dmz:10.2.0.0/24:100",
}  # fmt: skip
WHOLE: dict[str, Any] = {
    "memory": 4096,
    "pin_cores": 3,
    "hugepages_backed": "true",
    "one_numa_node": "true",
    "storage": "root:8,data:20(fast)",
    "interfaces": "eth0:subnet=10.1.0.0/24,ip=10.1.0.20;1:vid=100,type=physical;mgmt:name=dmz,mode=unconfigured",
}


async def test_a_machine_gets_everything_it_requires_and_releases_it(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(**TWO_NODES)
    before = await innkeeper.get(f"vm-hosts/{host['id']}/", op="numa")
    composed = await innkeeper.compose(host["id"], **WHOLE)
    (operation, *_) = await innkeeper.get(f"operations/?machine={composed['system_id']}")
    explanation = operation["explanation"]
    assert [disk["storage_pool"] for disk in explanation["disks"]] == ["default", "fast"]
    assert [(nic["label"], nic["kind"], nic["interface"], nic["ip"]) for nic in explanation["nics"]] == [
        ("eth0", "network", "lan", "10.1.0.20"),
        ("1", "sriov", "sim1", None),
        ("mgmt", "network", "dmz", None),
    ]
    assert explanation["pinned_cores"] == [0, 1, 2]
    assert explanation["huge_pages"] == [{"node": 0, "page_size": 1024**3, "pages": 4}]
    (guest,) = await innkeeper.get("virtual-machines/")
    assert (guest["pinned_cores"], guest["hugepages_backed"]) == ([0, 1, 2], True)
    (node, _) = await innkeeper.get(f"vm-hosts/{host['id']}/", op="numa")
    assert node["cores"]["used_by_ours"] == [0, 1, 2]
    assert node["memory"]["hugepages"][0]["used_by_ours"] == 4
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]["cores"] == 3
    assert (await innkeeper.delete(f"machines/{composed['system_id']}/")).status == 204
    assert await innkeeper.get(f"vm-hosts/{host['id']}/", op="numa") == before
    await innkeeper.compose(host["id"], **WHOLE)


async def test_a_demanded_storage_pool_is_used_or_refused(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(**TWO_NODES)
    machine = await innkeeper.post("vm-hosts/sim/", op="compose", storage="root:8,data:20(pool:fast)")
    (operation, *_) = await innkeeper.get(f"operations/?machine={machine['system_id']}")
    assert [disk["storage_pool"] for disk in operation["explanation"]["disks"]] == ["default", "fast"]
    problems = await invalid_fields(innkeeper.post("vm-hosts/sim/", op="compose", storage="data:20(pool:fst)"))
    assert problems == {"storage": ["Host sim: needs the storage pool fst, the host has default, fast."]}
    found = await innkeeper.post("vm-hosts/", op="place", storage="data:20(pool:fst)")
    assert (found["chosen"], found["rejected"][0]["reasons"]) == (
        None, ["needs the storage pool fst, the host has default, fast"]
    )  # fmt: skip


async def test_a_tag_that_only_labels_a_disk_is_noted(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(**TWO_NODES)
    note = (
        "The tag fst of the disk data names no storage pool of sim (default, fast): it only labels the disk. "
        "To demand a pool: pool:fst."
    )
    fields = {"storage": "root:8,data:20(fst)"}
    place = await innkeeper.send("POST", "vm-hosts/", op="place", fields=fields)
    assert (place.json()["notes"], place.warnings) == ([note], (note,))
    compose = await innkeeper.send("POST", "vm-hosts/sim/", op="compose", fields=fields)
    assert compose.warnings == (note,)
    assert (await innkeeper.send("POST", "vm-hosts/sim/", op="compose", fields={})).warnings == ()


async def test_concurrent_requests_give_an_address_to_one_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(**TWO_NODES)
    request = {"interfaces": "eth0:ip=10.1.0.30", "memory": 1024, "storage": "1"}
    answers = await outcomes(innkeeper.compose(host["id"], **request) for _ in range(6))
    (machine,) = await innkeeper.get("machines/")
    taken = f"10.1.0.30 belongs to machine {machine['hostname']}."
    lost = "10.1.0.30 was just claimed by another machine."
    assert answers.count("done") == len(innkeeper.simulated_guests()) == 1
    assert {*answers} <= {"done", f"400: interfaces: {taken}", f"409: {lost}"}
    assert await outcomes([innkeeper.compose(host["id"], **request)]) == [f"400: interfaces: {taken}"]


async def test_concurrent_pin_requests_succeed_while_cores_are_free(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(**TWO_NODES)
    request = {"pin_cores": 1, "memory": 1024, "storage": "1"}
    answers = Counter(await outcomes(innkeeper.compose(host["id"], **request) for _ in range(20)))
    nodes = await innkeeper.get(f"vm-hosts/{host['id']}/", op="numa")
    assert sorted(core for node in nodes for core in node["cores"]["used_by_ours"]) == list(range(16))
    assert answers.pop("done") == 16
    assert sum(answers.values()) == 4
    shortage = "needs 1 unpinned core on one NUMA node, 0 of 8 free on node 0, 0 of 8 on node 1"
    assert all(shortage in answer for answer in answers)


IMPOSSIBLE: list[tuple[dict[str, Any], str, str]] = [
    ({"interfaces": "eth0:space=nowhere"}, "interfaces", "eth0: space=nowhere: there is no space nowhere."),
    ({"interfaces": "eth0:fabric=class:10g"}, "interfaces", "there is no fabric of the class 10g."),
    ({"interfaces": "eth0:not_vlan=id:99"}, "interfaces", "there is no VLAN with the id 99."),
    ({"interfaces": "eth0:vid=7"}, "interfaces", "there is no VLAN with the VID 7."),
    ({"interfaces": "eth0:subnet=10.9.0.0/24"}, "interfaces", "there is no subnet 10.9.0.0/24."),
    ({"interfaces": "eth0:ip=10.9.0.1"}, "interfaces", "known subnets contains 10.9.0.1"),
    ({"interfaces": "eth0:ip=10.1.0.1"}, "interfaces", "10.1.0.1 is"),
    ({"pinned_cores": [3, 16]}, "pinned_cores", "Host sim has no core 16; it has 0-15."),
    ({"pin_cores": 9}, "pin_cores", "Host sim has at most 8 cores on a NUMA node."),
    ({"hugepages_backed": "true", "hugepage_size": 2}, "hugepage_size",
     "Host sim has no huge pages of 2 MiB; it has: 1024."),
]  # fmt: skip


async def test_impossible_requirements_are_rejected_by_field(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(**TWO_NODES)
    operations = await innkeeper.get("operations/")
    for fields, field, message in IMPOSSIBLE:
        ((name, (text,)),) = (await invalid_fields(innkeeper.compose(host["id"], **fields))).items()
        assert (name, message in text) == (field, True), text
    assert await innkeeper.get("operations/") == operations
    assert await innkeeper.get("machines/") == []


async def test_shortages_are_reported_with_what_is_free(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(**TWO_NODES)
    await innkeeper.compose(host["id"], pinned_cores=[2, 3], memory=1024, hostname="pinned")
    for fields, message in (
        ({"pinned_cores": [3, 4]}, "core 3 is already pinned by pinned"),
        ({"pin_cores": 7, "one_numa_node": "true", "hugepages_backed": "true", "memory": 9 * 1024},
         "needs 9 huge pages of 1 GiB on one NUMA node with 7 free cores, 8 of 8 free on node 1"),
        ({"interfaces": ";".join(f"{n}:name=sim0" for n in range(5))},
         "needs 5 virtual functions for 0, 1, 2, 3, 4 (name sim0), 4 of 4 free on sim0"),
    ):  # fmt: skip
        (answer,) = await outcomes([innkeeper.compose(host["id"], **fields)])
        assert answer.startswith("503: ")
        assert message in answer


async def test_a_resource_pool_has_its_own_strategy(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, placement_strategy="pack") as innkeeper:
        await innkeeper.start_rack()
        await innkeeper.post("resourcepools/", name="spreading", strategy="spread")
        await innkeeper.post("resourcepools/", name="any")
        await innkeeper.add_simulated("small", cores=4)
        await innkeeper.add_simulated("large", cores=16)
        assert (await composed_in(innkeeper, "spreading")).host_name == "large"
        assert (await composed_in(innkeeper, "any")).host_name == "small"
        await innkeeper.put("resourcepool/any/", strategy="spread")
        assert (await composed_in(innkeeper, "any")).host_name == "large"
        assert (await innkeeper.post("vm-hosts/", op="place"))["chosen"] == "small"


async def composed_in(innkeeper: Deployment, pool: str) -> Operation:
    services = innkeeper.region.components.services
    operation = await services.composer.start_compose(innkeeper.admin, ComposeRequest(pool=pool, memory_mib=1024))
    return await services.operations.wait(operation.id, timeout_s=240)
