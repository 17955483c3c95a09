"""NUMA nodes through the API: their resources, and what foreign guests and machines use."""

from __future__ import annotations

from typing import Any

from innkeeper.output.special_tables import numa_rows
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import sql
from tests.postgresql.row_versions import versions
from tests.support.rejections import rejected_status

GIB = 1024**3
TWO_NODES: dict[str, Any] = {
    "cores": 16, "memory_mib": 2 * 32768, "numa_nodes": 2, "hugepages_mib": 2 * 8192, "hugepage_size_mib": 1024,
    "virtual_functions": "3x8", "threads_per_core": 2,
}  # fmt: skip


async def numa(innkeeper: Deployment, host_id: int, collection: str = "vm-hosts") -> Any:
    return await innkeeper.get(f"{collection}/{host_id}/", op="numa")


def unused(total: int) -> dict[str, int]:
    return {"total": total, "used_by_ours": 0, "used_by_others": 0, "free": total}


def used(node: Any, by: str) -> tuple[list[int], int, int]:
    """Returns the cores, MiB of general memory and huge pages used by `by`."""
    memory = node["memory"]
    return node["cores"][by], memory["general"][by], memory["hugepages"][0][by]


async def amounts_used(innkeeper: Deployment, host_id: int) -> tuple[int, int]:
    """Returns the cores and MiB of memory that the guests in the host's project use."""
    found = (await innkeeper.get(f"vm-hosts/{host_id}/"))["used"]
    return found["cores"], found["memory"]


def claimed(node: Any) -> tuple[int, int]:
    """Returns the cores and MiB of general memory that all machines claim of the server."""
    return node["server"]["cores"]["used_by_ours"], node["server"]["memory"]["used_by_ours"]


def empty_node(node_id: int, nics: tuple[int, ...], capacity: Any) -> dict[str, Any]:
    first = node_id * 8
    ids = list(range(first, first + 8))
    return {
        "node_id": node_id,
        "cores": {
            "total": ids, "used_by_ours": [], "used_by_others": [], "free": ids,
            "siblings": [[core, core + 1] for core in ids[::2]],
        },
        "memory": {
            "total": 32768, "general": unused(24576), "hugepages": [{"page_size": GIB, **unused(8)}],
        },
        "network_devices": [
            {
                "pci_address": f"0000:{0x10 + number:02x}:00.0", "product": "Simulated Ethernet",
                "ports": [f"sim{number}"], "virtual_functions": unused(8),
            }
            for number in nics
        ],
        "virtual_machines": [],
        "server": {"cores": unused(16), "memory": unused(2 * 24576), "capacity": capacity},
    }  # fmt: skip


async def test_a_host_shows_its_numa_nodes(rackless: Deployment) -> None:
    undiscovered = await rackless.add_simulated("undiscovered", **TWO_NODES)
    assert await numa(rackless, undiscovered["id"]) == []
    await rackless.start_rack()
    networks = "lan:10.1.0.0/24,dmz:10.2.0.0/24:100"
    host = await rackless.add_simulated("big", **TWO_NODES, pools="local:500,ceph:2000", networks=networks)
    expected = [empty_node(0, (0, 2), host["capacity"]), empty_node(1, (1,), host["capacity"])]
    assert await numa(rackless, host["id"]) == expected
    assert await numa(rackless, host["id"], "pods") == expected
    assert [(pool["name"], pool["total"]) for pool in host["storage_pools"]] == [
        ("local", 500 * 10**9),
        ("ceph", 2000 * 10**9),
    ]
    assert [(one["name"], one["cidrs"], one["vid"]) for one in host["networks"]] == [
        ("lan", ["10.1.0.0/24"], 0),
        ("dmz", ["10.2.0.0/24"], 100),
        ("sim0", ["10.1.0.0/24"], 0),
        ("sim1", ["10.2.0.0/24"], 100),
        ("sim2", ["10.1.0.0/24"], 0),
    ]
    await rackless.compose(host["id"], cores=2, memory=2048)
    nodes = await numa(rackless, host["id"])
    assert [claimed(node) for node in nodes] == [(2, 2048)] * 2
    capacity = nodes[0]["server"]["capacity"]
    assert capacity == (await rackless.get(f"vm-hosts/{host['id']}/"))["capacity"]
    assert (capacity["cores"]["free"], capacity["pinned_cores"]["free"], capacity["huge_pages"]) == (
        14, 16, {"1048576": {"total": 16, "claimable": 16, "claimed": 0, "elsewhere": 0, "free": 16}},
    )  # fmt: skip
    unclaimed = [{**node, "server": expected[0]["server"]} for node in nodes]
    assert unclaimed == expected, "without pins, the machine may run on either node"
    assert await rejected_status(numa(rackless, 999)) == 404


async def test_a_machine_holds_its_resources_until_it_is_deleted(innkeeper: Deployment, database_url: str) -> None:
    host = await innkeeper.add_simulated("big", **TWO_NODES, networks="dmz:10.2.0.0/24:100")
    path = f"vm-hosts/{host['id']}/"
    before = await numa(innkeeper, host["id"])
    machine = await innkeeper.compose(
        host["id"], pinned_cores=[8, 9], hugepages_backed=True, memory=2048, interfaces="eth0:name=sim1"
    )
    rows_before = await versions(database_url)
    refreshed = await innkeeper.post(path, op="refresh")
    assert await versions(database_url) == rows_before
    assert (refreshed["used"]["cores"], refreshed["used"]["memory"]) == (2, 2048)
    first, second = await numa(innkeeper, host["id"])
    assert used(first, "used_by_ours") == ([], 0, 0)
    assert used(second, "used_by_ours") == ([8, 9], 0, 2)
    assert second["network_devices"][0]["virtual_functions"] == {**unused(8), "used_by_ours": 1, "free": 7}
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    assert await numa(innkeeper, host["id"]) == before


async def test_adoption_counts_pins_of_foreign_guests_as_own(innkeeper: Deployment) -> None:
    # The first guest has two of its three cores on node 0; the second uses three huge pages.
    host = await innkeeper.add_simulated("big", **TWO_NODES, guests=1, pinned_guests="6-8:1000,0-1:2049:huge")
    virtual_machines = await innkeeper.get("virtual-machines/")
    cores = sum(one["unpinned_cores"] + len(one["pinned_cores"]) for one in virtual_machines)
    every = (cores, sum(one["memory"] for one in virtual_machines))
    for adopted, own, others in (
        (None, ([], 0, 0), ([0, 1, 6, 7], 666, 3)),
        ("pinned-0001", ([6, 7], 666, 0), ([0, 1], 0, 3)),
        ("pinned-0002", ([0, 1, 6, 7], 666, 3), ([], 0, 0)),
    ):
        if adopted is not None:
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="adopt", guests=adopted)
        first, second = await numa(innkeeper, host["id"])
        assert (used(first, "used_by_ours"), used(first, "used_by_others")) == (own, others)
        assert used(first, "free") == ([2, 3, 4, 5], 24576 - 666, 8 - 3)
        assert used(second, "free") == ([9, 10, 11, 12, 13, 14, 15], 24576 - 334, 8)
        assert await amounts_used(innkeeper, host["id"]) == every, "foreign ones too, with and without huge pages"
    adopted_ones = await sql(innkeeper, "select * from machine order by hostname")
    assert [(one["pinned_core_ids"], one["huge_page_size_kib"]) for one in adopted_ones] == [
        ([6, 7, 8], None), ([0, 1], 1024**2),
    ]  # fmt: skip
    row = next(one for one in numa_rows([first, second]) if one["resource"] == "cores")
    assert (row["used_by_ours"], row["used_by_others"], row["free_cores"]) == (4, 0, "2-5")
    for one in adopted_ones:
        await innkeeper.api.send("POST", f"machines/{one['system_id']}/", query=[("op", "forget")])
    first, second = await numa(innkeeper, host["id"])
    assert (used(first, "used_by_ours"), used(first, "used_by_others")) == (([], 0, 0), ([0, 1, 6, 7], 666, 3))
    await sql(innkeeper, "update guest set project = 'elsewhere'")
    assert await amounts_used(innkeeper, host["id"]) == (0, 0), "those of another project are not the host's"
