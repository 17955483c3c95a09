"""Composes until each resource in turn is exhausted: the rejection names it, and the sums stay correct."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import field, frozen

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment

GIB_MIB = 1024
PHYSICAL_ON_DMZ = ";".join(f"eth{number}:vid=100,type=physical" for number in range(4))
ADDRESS: dict[str, Any] = {
    "cores": 16, "memory_mib": 2 * 32 * GIB_MIB, "numa_nodes": 2, "hugepages_mib": 2 * 8 * GIB_MIB,
    "hugepage_size_mib": 1024, "threads_per_core": 2, "virtual_functions": "3x8", "pools": "default:2000,fast:500",
    "networks": "dmz:10.1.0.0/24:100,lan:10.2.0.0/24",
}  # fmt: skip
OVERCOMMITTED = {"cpu_over_commit_ratio": 10.0, "memory_over_commit_ratio": 10.0}


@frozen(kw_only=True)
class Shortage:
    """`fit` machines of this request fit on one host; the rejection of the next one starts with `lacks`."""

    request: dict[str, Any]
    fit: int
    lacks: str
    host: dict[str, Any] = field(factory=dict)


SHORTAGES = {
    "cores": Shortage(
        request={"cores": 4},
        fit=4,
        lacks="needs 4 cores, 0 free (16 cores × ratio 1.0 = 16 claimable, 16 claimed, 0 elsewhere on the server)",
    ),
    "reserved cores": Shortage(request={"cores": 4}, fit=3, lacks="needs 4 cores, 1 free", host={"reserved_cores": 3}),
    "general memory": Shortage(
        request={"cores": 1, "memory": 12 * GIB_MIB}, fit=4, lacks="needs 12288 MiB of memory, 0 free"
    ),
    "pinned cores of one node": Shortage(
        request={"pin_cores": 4}, fit=4, lacks="needs 4 unpinned cores on one NUMA node, 0 of 8", host=OVERCOMMITTED
    ),
    "a pinned core": Shortage(
        request={"pinned_cores": [3, 12]}, fit=1, lacks="cores 3 and 12 are already pinned by ", host=OVERCOMMITTED
    ),
    "huge pages": Shortage(
        request={"cores": 1, "memory": 4 * GIB_MIB, "hugepages_backed": "true"},
        fit=4,
        lacks="needs 4 huge pages of 1 GiB, 0 of 8",
        host=OVERCOMMITTED,
    ),
    "a storage pool": Shortage(
        request={"cores": 1, "storage": "root:8(default),data:120(fast)"},
        fit=4,
        lacks="needs a disk of 120.0 GB, 20.0 of 500.0 GB free in fast",
        host=OVERCOMMITTED,
    ),
    "virtual functions": Shortage(  # of three network devices, the first and the last are on the network
        request={"cores": 1, "storage": "root:1", "interfaces": PHYSICAL_ON_DMZ},
        fit=4,
        lacks="needs 1 virtual function for eth0 (vid 100 and type physical), 0 of 8 free on sim0, 0 of 8 free on",
        host=OVERCOMMITTED,
    ),
}


async def check_sums(innkeeper: Deployment, host_id: int, machines: list[Any]) -> None:
    """On each node used plus free equals the total; the sum over the nodes is what the machines received."""
    assert await innkeeper.ledger_problems() == []
    nodes = await innkeeper.get(f"vm-hosts/{host_id}/", op="numa")
    pinned: list[int] = []
    pages = functions = 0
    for node in nodes:
        cores = node["cores"]
        assert sorted(cores["used_by_ours"] + cores["free"]) == cores["total"]
        pinned += cores["used_by_ours"]
        for share in (node["memory"]["general"], *node["memory"]["hugepages"], *_functions(node)):
            assert share["total"] == share["used_by_ours"] + share["free"]
            assert share["free"] >= 0
        pages += sum(one["used_by_ours"] for one in node["memory"]["hugepages"])
        functions += sum(one["used_by_ours"] for one in _functions(node))
    request = machines[0]
    assert len(pinned) == len(machines) * (request.get("pin_cores") or len(request.get("pinned_cores", ())))
    backed = request["memory"] // 1024 if request.get("hugepages_backed") else 0
    assert (pages, functions) == (len(machines) * backed, len(machines) * request.get("interfaces", "").count("phys"))


def _functions(node: Any) -> list[Any]:
    return [device["virtual_functions"] for device in node["network_devices"]]


@pytest.mark.slow
@pytest.mark.parametrize("shortage", SHORTAGES.values(), ids=SHORTAGES)
async def test_the_rejection_names_the_exhausted_resource(innkeeper: Deployment, shortage: Shortage) -> None:
    request = {"memory": 1024, "storage": "root:8", **shortage.request}
    hosts = [await innkeeper.add_simulated(f"numa-{number}", **ADDRESS) for number in (1, 2)]
    for host in hosts:
        if shortage.host:
            await innkeeper.put(f"vm-hosts/{host['id']}/", **shortage.host)
        for composed in range(shortage.fit):
            await innkeeper.compose(host["id"], **request)
            await check_sums(innkeeper, host["id"], [request] * (composed + 1))
        with pytest.raises(InnkeeperError, match="Unable to compose") as rejected:
            await innkeeper.compose(host["id"], **request)
        assert shortage.lacks in str(rejected.value)
        await check_sums(innkeeper, host["id"], [request] * shortage.fit)
    where = await innkeeper.post("vm-hosts/", op="place", **request)
    assert where["chosen"] is None
    assert [one["host"] for one in where["rejected"]] == ["numa-1", "numa-2"]
    assert all(one["reasons"][0].startswith(shortage.lacks) for one in where["rejected"])
