"""The NUMA nodes of hosts through the API: what their address says, and what foreign VMs and machines use of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from innkeeper.numa import rows_of
from tests.installation import Installation, installed
from tests.rows import versions

GIB = 1024**3
TWO_NODES: dict[str, Any] = {
    "cores": 16, "memory_mib": 2 * 32768, "numa_nodes": 2, "hugepages_mib": 2 * 8192, "hugepage_size_mib": 1024,
    "virtual_functions": "3x8", "threads_per_core": 2,
}  # fmt: skip


async def numa(innkeeper: Installation, host_id: int, room: str = "vm-hosts") -> Any:
    return await innkeeper.get(f"{room}/{host_id}/", op="numa")


def unused(total: int) -> dict[str, int]:
    return {"total": total, "used_by_ours": 0, "used_by_others": 0, "free": total}


def used(node: Any, by: str) -> tuple[list[int], int, int]:
    """Cores, MiB of general memory, huge pages."""
    memory = node["memory"]
    return node["cores"][by], memory["general"][by], memory["hugepages"][0][by]


def empty_node(node_id: int, cards: tuple[int, ...]) -> dict[str, Any]:
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
        "network_cards": [
            {
                "pci_address": f"0000:{0x10 + number:02x}:00.0", "product": "Simulated Ethernet",
                "ports": [f"sim{number}"], "virtual_functions": unused(8),
            }
            for number in cards
        ],
        "virtual_machines": [],
    }  # fmt: skip


async def test_a_host_shows_exactly_the_nodes_of_its_address(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        unseen = await innkeeper.add_simulated("unseen", **TWO_NODES)
        assert await numa(innkeeper, unseen["id"]) == []
        await innkeeper.start_rack()
        networks = "lan:10.1.0.0/24,dmz:10.2.0.0/24:100"
        host = await innkeeper.add_simulated("big", **TWO_NODES, pools="local:500,ceph:2000", networks=networks)
        wanted = [empty_node(0, (0, 2)), empty_node(1, (1,))]
        assert await numa(innkeeper, host["id"]) == wanted
        assert await numa(innkeeper, host["id"], "pods") == wanted
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
        await innkeeper.compose(host["id"], cores=2, memory=2048)
        assert await numa(innkeeper, host["id"]) == wanted  # it has no pins: it may run on either node
        with pytest.raises(InnkeeperError) as unknown:
            await numa(innkeeper, 999)
        assert unknown.value.details["status"] == 404


async def machines(innkeeper: Installation) -> list[Any]:
    """As their rows say."""
    async with innkeeper.region.parts.database.connection() as db:
        return await db.fetch("select * from machine order by hostname")


async def test_a_machine_holds_what_it_asked_for_before_and_after_the_next_look_until_it_goes(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated("big", **TWO_NODES, networks="dmz:10.2.0.0/24:100")
        path = f"vm-hosts/{host['id']}/"
        before = await numa(innkeeper, host["id"])
        made = await innkeeper.compose(
            host["id"], pinned_cores=[8, 9], hugepages_backed=True, memory=2048, interfaces="eth0:name=sim1"
        )
        standing = await versions(database_url)
        looked = await innkeeper.post(path, op="refresh")
        assert await versions(database_url) == standing
        assert (looked["used"]["cores"], looked["used"]["memory"]) == (2, 2048)
        first, second = await numa(innkeeper, host["id"])
        assert used(first, "used_by_ours") == ([], 0, 0)
        assert used(second, "used_by_ours") == ([8, 9], 0, 2)
        assert second["network_cards"][0]["virtual_functions"] == {**unused(8), "used_by_ours": 1, "free": 7}
        await innkeeper.delete(f"machines/{made['system_id']}/")
        assert await numa(innkeeper, host["id"]) == before


async def test_pins_of_others_are_counted_and_become_ours_when_they_are_adopted(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        # The first is on both nodes, two of its three cores on the first; the second has 3 pages of its own.
        host = await innkeeper.add_simulated("big", **TWO_NODES, guests=1, pinned_guests="6-8:1000,0-1:2049:huge")
        for adopted, ours, others in (
            (None, ([], 0, 0), ([0, 1, 6, 7], 666, 3)),
            ("pinned-0001", ([6, 7], 666, 0), ([0, 1], 0, 3)),
            ("pinned-0002", ([0, 1, 6, 7], 666, 3), ([], 0, 0)),
        ):
            if adopted is not None:
                await innkeeper.post(f"vm-hosts/{host['id']}/", op="adopt", guests=adopted)
            first, second = await numa(innkeeper, host["id"])
            assert (used(first, "used_by_ours"), used(first, "used_by_others")) == (ours, others)
            assert used(first, "free") == ([2, 3, 4, 5], 24576 - 666, 8 - 3)
            assert used(second, "free") == ([9, 10, 11, 12, 13, 14, 15], 24576 - 334, 8)
        adopted_ones = await machines(innkeeper)
        assert [(one["pinned_core_ids"], one["huge_page_size_kib"]) for one in adopted_ones] == [
            ([6, 7, 8], None), ([0, 1], 1024**2),
        ]  # fmt: skip
        everything = await innkeeper.get("virtual-machines/")
        used_mib = (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]["memory"]
        assert used_mib == sum(one["memory"] for one in everything), "in huge pages or not"
        cores = next(row for row in rows_of([first, second]) if row["resource"] == "cores")
        assert (cores["used_by_ours"], cores["used_by_others"], cores["free_cores"]) == (4, 0, "2-5")
        for one in adopted_ones:
            await innkeeper.api.send("POST", f"machines/{one['system_id']}/", query=[("op", "forget")])
        first, second = await numa(innkeeper, host["id"])
        assert (used(first, "used_by_ours"), used(first, "used_by_others")) == (([], 0, 0), ([0, 1, 6, 7], 666, 3))
