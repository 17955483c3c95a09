"""Every interface shows the same capacity of a host, and a refused compose names it."""

from __future__ import annotations

from common.serialization import to_dict
from innkeeper.rpc import connect
from tests.deployment.deployment import Deployment
from tests.integration.hosts.test_racks_and_hosts import client_folder
from tests.support.rejections import rejection

CORES = {"total": 4, "claimable": 24, "claimed": 3, "elsewhere": 5, "free": 16}


async def test_all_interfaces_show_the_same_capacity(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=5)
    await innkeeper.put(f"vm-hosts/{host['id']}/", cpu_over_commit_ratio=6)
    await innkeeper.compose(host["id"], cores=3, memory=1024)
    shown = await innkeeper.get(f"vm-hosts/{host['id']}/")
    assert shown["capacity"]["cores"] == CORES
    assert shown["available"]["cores"] < 0  # MAAS's number, without the ratio
    assert shown["storage_pools"][0]["capacity"] == shown["capacity"]["storage_bytes"]
    assert [one["capacity"] for one in await innkeeper.get("vm-hosts/")] == [shown["capacity"]]
    async with connect(f"127.0.0.1:{innkeeper.region.rpc_port}", folder=await client_folder(innkeeper)) as region:
        (summary,) = await region.hosts()
    assert to_dict(summary.capacity) == shown["capacity"]
    for cores in (1, 99):
        placed = await innkeeper.post("vm-hosts/", op="place", cores=cores, memory=1024)
        evaluated = placed["fitting"] + placed["rejected"]
        assert [one["capacity"] for one in evaluated] == [shown["capacity"]]
    tried = await innkeeper.post(f"vm-hosts/{host['id']}/", op="compose", cores=1, memory=1024, dry_run=True)
    assert tried["fitting"][0]["capacity"] == shown["capacity"]
    fleet = await innkeeper.get("vm-hosts/", op="capacity")
    for group in (fleet["fleet"], fleet["zones"][0], fleet["pools"][0]):
        assert group["capacity"] == shown["capacity"]
        assert (group["hosts"], group["servers"], group["unreachable_servers"]) == (1, 1, 0)
        assert group["states"] == {"pending": 0, "ready": 1, "unreachable": 0, "removing": 0}


async def test_a_refused_compose_names_the_numbers_of_the_capacity(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=3)
    words = "needs 2 cores, 1 free (4 cores × ratio 1.0 = 4 claimable, 0 claimed, 3 elsewhere on the server)"
    placed = await innkeeper.post("vm-hosts/", op="place", cores=2)
    assert placed["rejected"][0]["reasons"] == [words]
    assert words in (await rejection(innkeeper.compose(host["id"], cores=2))).message
    assert words in (await rejection(innkeeper.post("machines/", op="allocate", cpu_count=2))).message
    capacity = (await innkeeper.get("vm-hosts/"))[0]["capacity"]["cores"]
    assert capacity == {"total": 4, "claimable": 4, "claimed": 0, "elsewhere": 3, "free": 1}
    await innkeeper.compose(host["id"], cores=1, memory=1024)


async def test_a_host_of_unknown_capacity_shows_none(rackless: Deployment) -> None:
    host = await rackless.add_simulated()
    assert (host["state"], host["capacity"]) == ("pending", None)
    assert (await rackless.post("vm-hosts/", op="place"))["rejected"][0]["capacity"] is None
    group = (await rackless.get("vm-hosts/", op="capacity"))["fleet"]
    assert (group["hosts"], group["servers"], group["capacity"]["cores"]["free"]) == (1, 0, 0)
