"""The end of an import from MAAS: the default storage pools of hosts, and the names of clusters."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from common.maas.inventory import Cluster, Host, Inventory
from tests.deployment.deployment import Deployment
from tests.integration.test_cluster_members import cluster_of
from tests.integration.test_maas_import import apply, begin, inventory, plan
from tests.lxd_double import FakeLxds
from tests.unit.test_key_pairs import small_pair

pytestmark = pytest.mark.slow
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
