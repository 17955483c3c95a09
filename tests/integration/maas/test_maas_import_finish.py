"""The end of an import from MAAS: the default storage pools of hosts, and the names of clusters."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from common.maas.inventory import Cluster, Host, Inventory
from regiond.hosts.model import HostView, NewHost
from regiond.hosts.service import Hosts
from regiond.requests.caller import Caller
from tests.deployment.deployment import Deployment
from tests.doubles.lxd_double import FakeLxds
from tests.integration.hosts.test_cluster_members import cluster_of
from tests.integration.maas.test_maas_import import apply, begin, inventory, plan
from tests.unit.regiond.credentials.test_key_pairs import small_pair

pytestmark = pytest.mark.slow
REFRESH_S = 30.0
ADDRESS = "simulated:sim?cores=8&memory_mib=32768&guests=4&pools=2"


def host(name: str, pool: str) -> Host:
    return Host(
        id=name, name=name, power_type="simulated", power_address=ADDRESS.replace("sim?", f"{name}?"),
        default_storage_pool=pool,
    )  # fmt: skip


def of(*hosts: Host) -> Inventory:
    return inventory(hosts=hosts, users=(), machines=())


async def imported(innkeeper: Deployment, found: Inventory) -> tuple[Any, Any]:
    """Returns what was begun, and the ended operation."""
    begun = await begin(innkeeper, found)
    return begun, await apply(innkeeper, begun, await plan(innkeeper, begun))


async def default_pools(innkeeper: Deployment) -> dict[str, list[str]]:
    return {
        one["name"]: [pool["name"] for pool in one["storage_pools"] if pool["default"]]
        for one in await innkeeper.get("vm-hosts/")
    }


async def test_hosts_of_an_import_get_their_default_storage_pools(innkeeper: Deployment) -> None:
    found = of(host("one", "fast"), host("two", ""), host("three", "gone"))
    begun, operation = await imported(innkeeper, found)
    assert operation["state"] == "succeeded", operation["error"]
    assert await default_pools(innkeeper) == {"one": ["fast"], "two": ["default"], "three": ["default"]}
    await innkeeper.put("vm-hosts/one/", default_storage_pool="default")
    await apply(innkeeper, begun, await plan(innkeeper, begun))
    assert (await default_pools(innkeeper))["one"] == ["default"], "what a person has chosen since stays"


def cluster(*members: str) -> tuple[Inventory, str]:
    """A MAAS with one cluster, and the certificate that its members trust."""
    pair = small_pair()
    hosts = tuple(
        Host(
            id=one, name=one, power_type="lxd", power_address=one, project="default", cluster_id="1", member=one,
            certificate=pair.certificate_pem, key=pair.key_pem,
        )
        for one in members
    )  # fmt: skip
    sky = Cluster(id="1", name="sky", project="default", zone="east", pool="web")
    return evolve(of(*hosts), clusters=(sky,)), pair.certificate_pem


async def test_a_cluster_gets_its_name_zone_and_pool(innkeeper: Deployment, lxds: FakeLxds) -> None:
    found, certificate = cluster("m1", "m2")
    cluster_of(lxds, "m1", "m2").trust(certificate)
    _, operation = await imported(innkeeper, found)
    assert operation["state"] == "succeeded", operation["error"]
    (known,) = await innkeeper.get("vm-clusters/")
    assert (known["name"], known["vmhost_count"]) == ("sky", 2)
    members = {(one["zone"]["name"], one["pool"]["name"]) for one in await innkeeper.get("vm-hosts/")}
    assert members == {("east", "web")}


async def test_a_member_that_the_refresh_of_another_adds_is_brought(
    innkeeper: Deployment, lxds: FakeLxds, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Hosts.create

    async def create_and_refresh(hosts: Hosts, caller: Caller, new: NewHost, *, wait_s: float) -> HostView:
        assert wait_s < REFRESH_S, "the import waits for no refresh"
        return await create(hosts, caller, new, wait_s=REFRESH_S)

    monkeypatch.setattr(Hosts, "create", create_and_refresh)
    found, certificate = cluster("m1", "m2")
    first, second = found.hosts
    second = evolve(second, tags=("fast",), cpu_over_commit_ratio=3.0, memory_over_commit_ratio=2.0)
    cluster_of(lxds, "m1", "m2").trust(certificate)
    _, operation = await imported(innkeeper, evolve(found, hosts=(first, second)))
    assert operation["state"] == "succeeded", operation["error"]
    here = {one["name"]: one for one in await innkeeper.get("vm-hosts/")}
    ratios = {name: (one["cpu_over_commit_ratio"], one["memory_over_commit_ratio"]) for name, one in here.items()}
    assert ratios == {"m1": (1.0, 1.0), "m2": (3.0, 2.0)}
    assert [("fast" in here[name]["tags"]) for name in ("m1", "m2")] == [False, True]


async def test_a_cluster_whose_members_are_away_is_told_and_brought_later(
    innkeeper: Deployment, lxds: FakeLxds
) -> None:
    found, certificate = cluster("m1", "m2")
    begun, operation = await imported(innkeeper, found)
    assert operation["state"] == "failed"
    failures = (await innkeeper.get(f"maas-imports/{begun['id']}/"))["failures"]
    assert [one["kind"] for one in failures] == ["clusters"]
    assert "Import again when m1 is ready" in failures[0]["reason"]
    cluster_of(lxds, "m1", "m2").trust(certificate)
    operation = await apply(innkeeper, begun, await plan(innkeeper, begun))
    assert operation["state"] == "succeeded", operation["error"]
    assert [one["name"] for one in await innkeeper.get("vm-clusters/")] == ["sky"]


async def test_members_of_no_cluster_make_none(innkeeper: Deployment, lxds: FakeLxds) -> None:
    found, certificate = cluster("m1")
    server = cluster_of(lxds, "m1")
    server.reports = {}
    server.trust(certificate)
    begun, operation = await imported(innkeeper, found)
    assert operation["state"] == "failed"
    (failure,) = (await innkeeper.get(f"maas-imports/{begun['id']}/"))["failures"]
    assert failure["reason"] == "Its members are in no cluster here."
