"""The import of a real cluster from MAAS: its members with one pair and name, and a VM that has moved since."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import evolve

from common.maas.inventory import Cluster
from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_import import apply, begin, decided, plan
from tests.lab.maas.maas_vms import DEPLOYED, MaasProject, maas_inventory, maas_pair
from tests.lab.servers.lxd_server import LxdServer

pytestmark = [pytest.mark.database, pytest.mark.every_product]
PREFIX = "ikmaascl-"


async def test_a_vm_that_moved_since_the_dump_is_found_on_its_member(
    cluster: tuple[LxdServer, ...], innkeeper: Deployment
) -> None:
    first, second = cluster[:2]
    pair = maas_pair("kvm-7")
    with first.project("ikmaas") as name, first.trusting(pair):
        members = [MaasProject(server=one, name=name, host_id=str(7 + at)) for at, one in enumerate(cluster)]
        mac = await asyncio.to_thread(members[1].make, "moved", running=True)
        before = members[0].untouched("moved")
        assert before["location"] == second.member
        hosts = tuple(
            one.host(pair, name=f"kvm-{one.host_id}", cluster_id="1", member=one.server.member or "") for one in members
        )
        found = maas_inventory(hosts, (members[0].machine("abcde1", "moved", DEPLOYED, mac),))
        found = evolve(found, clusters=(Cluster(id="1", name="sky", project=name, zone="east", pool="web"),))
        begun = await begin(innkeeper, found)
        operation = await apply(innkeeper, begun, decided(await plan(innkeeper, begun)))
        assert operation["state"] == "succeeded", operation["error"]
        here: dict[str, Any] = {one["id"]: one["name"] for one in await innkeeper.get("vm-hosts/")}
        assert sorted(here.values()) == [one.member for one in hosts], "a host of a cluster is named by its member"
        (known,) = await innkeeper.get("vm-clusters/")
        assert (known["name"], known["vmhost_count"]) == ("sky", len(cluster))
        machine = await innkeeper.get("machines/abcde1/")
        assert (machine["status_name"], here[machine["pod"]["id"]]) == ("Deployed", second.member)
        assert members[0].untouched("moved") == before
        again = await apply(innkeeper, begun, decided(await plan(innkeeper, begun)))
        assert again["state"] == "succeeded", again["error"]
        await innkeeper.delete("machines/abcde1/")
        assert members[0].names() == set()
