"""The NUMA nodes of hosts through the API: what their address says, and what foreign VMs and machines use of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from innkeeper.numa import rows_of
from tests.installation import Installation, installed

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
        ]
        await innkeeper.compose(host["id"], cores=2, memory=2048)
        assert await numa(innkeeper, host["id"]) == wanted  # it has no pins: it may run on either node
        with pytest.raises(InnkeeperError) as unknown:
            await numa(innkeeper, 999)
        assert unknown.value.details["status"] == 404


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
        cores = next(row for row in rows_of([first, second]) if row["resource"] == "cores")
        assert (cores["used_by_ours"], cores["used_by_others"], cores["free_cores"]) == (4, 0, "2-5")
