"""The import from MAAS on real LXD and Incus: VMs that MAAS made go on running, and are machines like others then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_import import apply, begin, decided, plan, states
from tests.lab.maas.maas_vms import (
    ALLOCATED,
    DATA_BYTES,
    DEPLOYED,
    OWNER,
    READY,
    MaasProject,
    maas_inventory,
    maas_pair,
)
from tests.lab.servers.lxd_server import LxdServer

pytestmark = pytest.mark.every_product


@pytest.fixture
def maas(lxd: LxdServer) -> Iterator[MaasProject]:
    """A project with the VMs of a MAAS, whose key pair the server trusts."""
    with lxd.project("ikmaas") as name, lxd.trusting(maas_pair("kvm-7")):
        yield MaasProject(server=lxd, name=name)


async def machine(innkeeper: Deployment, system_id: str) -> Any:
    return await innkeeper.get(f"machines/{system_id}/")


async def test_running_vms_go_over_and_are_machines_like_others(maas: MaasProject, innkeeper: Deployment) -> None:
    macs = {
        "shop": await asyncio.to_thread(maas.make, "shop", data_disk=True, running=True),
        "spare": await asyncio.to_thread(maas.make, "spare"),
        "held": await asyncio.to_thread(maas.make, "held", running=True),
    }
    ids = {"shop": "abcde1", "spare": "abcde3", "held": "abcde4"}
    statuses = {"shop": DEPLOYED, "spare": READY, "held": ALLOCATED}
    before = {name: maas.untouched(name) for name in macs}
    (data,) = maas.volumes()
    trusted = maas.server.trusted()
    pair = maas_pair("kvm-7")
    machines = tuple(maas.machine(ids[name], name, statuses[name], mac) for name, mac in macs.items())
    begun = await begin(innkeeper, maas_inventory((maas.host(pair),), machines))
    document = await plan(innkeeper, begun)
    assert states(document, "machines") == dict.fromkeys(ids, "new")
    operation = await apply(innkeeper, begun, decided(document))
    assert operation["state"] == "succeeded", operation["error"]

    for name in macs:
        assert maas.untouched(name) == before[name], "the same process, since the same time"
    assert all(map(maas.is_marked, macs))
    assert maas.server.trusted() == trusted
    (host,) = await innkeeper.get("vm-hosts/")
    shown = await innkeeper.get(f"vm-hosts/{host['id']}/", op="parameters")
    assert (shown["certificate_fingerprint"], shown["project"]) == (pair.fingerprint, maas.name)
    found = {name: await machine(innkeeper, system_id) for name, system_id in ids.items()}
    assert {name: (one["status_name"], one["power_state"], one["owner"]) for name, one in found.items()} == {
        "shop": ("Deployed", "on", OWNER), "spare": ("Ready", "off", None), "held": ("Allocated", "on", OWNER),
    }  # fmt: skip
    assert {name: [nic["mac_address"] for nic in one["interface_set"]] for name, one in found.items()} == {
        name: [mac] for name, mac in macs.items()
    }
    assert [one["size"] for one in found["shop"]["blockdevice_set"]][1:] == [DATA_BYTES]
    await used_like_others(maas, innkeeper, ids)
    await deleted_with_nothing_left(maas, innkeeper, ids, data)


async def used_like_others(maas: MaasProject, innkeeper: Deployment, ids: dict[str, str]) -> None:
    for name in ("shop", "held"):
        path = f"machines/{ids[name]}/"
        assert (await innkeeper.post(path, op="power_off", stop_mode="hard"))["power_state"] == "off"
        assert (await innkeeper.post(path, op="power_on"))["power_state"] == "on"
        assert int(maas.untouched(name)["pid"]) > 0
    released = await innkeeper.post(f"machines/{ids['shop']}/", op="release", force="true")
    assert (released["status_name"], released["owner"], released["power_state"]) == ("Ready", None, "off")
    taken = [await innkeeper.post("machines/", op="allocate", zone="east", pool="web", mem=128) for _ in range(2)]
    assert {one["system_id"] for one in taken} == {ids["shop"], ids["spare"]}, "chosen by constraints, none composed"


async def deleted_with_nothing_left(maas: MaasProject, innkeeper: Deployment, ids: dict[str, str], data: str) -> None:
    """MAAS's data disk is kept with its content, and listed until a person deletes it."""
    for system_id in ids.values():
        await innkeeper.delete(f"machines/{system_id}/")
    assert (maas.names(), maas.volumes()) == (set(), {data})
    (kept,) = await innkeeper.get("kept-disks/")
    assert (kept["volume"], kept["hostname"], kept["size"]) == (f"{maas.name}/{data}", "shop", DATA_BYTES)
    await innkeeper.delete(f"kept-disks/{kept['id']}/")
    assert maas.volumes() == set()


async def test_hosts_of_one_server_share_their_pair_and_get_one_of_their_own(
    lxd: LxdServer, maas: MaasProject, innkeeper: Deployment
) -> None:
    """MAAS made a pair for each of its two hosts, and the server trusts both."""
    first, second = maas_pair("kvm-7"), maas_pair("kvm-8")
    with lxd.project("ikmaas") as name, lxd.trusting(second):
        other = MaasProject(server=lxd, name=name, host_id="8")
        mac = await asyncio.to_thread(maas.make, "one", running=True)
        its_mac = await asyncio.to_thread(other.make, "two")
        before = maas.untouched("one"), other.untouched("two")
        found = maas_inventory(
            (maas.host(first), other.host(second)),
            (maas.machine("abcde1", "one", DEPLOYED, mac), other.machine("abcde3", "two", READY, its_mac)),
        )
        begun = await begin(innkeeper, found)
        document = decided(await plan(innkeeper, begun))
        operation = await apply(innkeeper, begun, document)
        assert operation["state"] == "succeeded", operation["error"]
        hosts = await innkeeper.get("vm-hosts/")
        assert await fingerprints(innkeeper, hosts) == {first.fingerprint}, "one pair for one server"
        assert {maas.name, other.name} == {
            (await innkeeper.get(f"vm-hosts/{one['id']}/", op="parameters"))["project"] for one in hosts
        }
        trusted = lxd.trusted()
        rotation = await innkeeper.post(f"vm-hosts/{hosts[0]['id']}/", op="rotate")
        (own,) = await fingerprints(innkeeper, hosts)
        assert lxd.trusted() == trusted | {own}, f"MAAS goes on with its pairs: {rotation}"
        for host in hosts:
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        assert (maas.untouched("one"), other.untouched("two")) == before
        for system_id in ("abcde1", "abcde3"):
            await innkeeper.delete(f"machines/{system_id}/")
        assert (maas.names(), other.names()) == (set(), set())


async def fingerprints(innkeeper: Deployment, hosts: list[Any]) -> set[str]:
    """Of the certificates that these hosts have."""
    shown = [await innkeeper.get(f"vm-hosts/{one['id']}/", op="parameters") for one in hosts]
    return {str(one["certificate_fingerprint"]) for one in shown}


async def test_machines_of_a_host_without_trust_come_with_a_repeated_import(
    lxd: LxdServer, innkeeper: Deployment
) -> None:
    pair = maas_pair("kvm-9")
    with lxd.project("ikmaas") as name:
        maas = MaasProject(server=lxd, name=name, host_id="9")
        mac = await asyncio.to_thread(maas.make, "late", running=True)
        before = maas.untouched("late")
        begun = await begin(
            innkeeper, maas_inventory((maas.host(pair),), (maas.machine("abcde1", "late", DEPLOYED, mac),))
        )
        document = decided(await plan(innkeeper, begun))
        operation = await apply(innkeeper, begun, document)
        assert operation["state"] == "failed"
        (failure,) = (await innkeeper.get(f"maas-imports/{begun['id']}/"))["failures"]
        assert failure["name"] == "late"
        assert "Import again when kvm-9 is ready." in failure["reason"]
        told = [one for one in await innkeeper.get("attention/") if one["name"] == "kvm-9"]
        assert [f"{lxd.command} config trust" in str(one) for one in told] == [True], told
        with lxd.trusting(pair):
            again = await apply(innkeeper, begun, decided(await plan(innkeeper, begun)))
            assert again["state"] == "succeeded", again["error"]
            assert (await machine(innkeeper, "abcde1"))["power_state"] == "on"
            assert maas.untouched("late") == before
            await innkeeper.delete("machines/abcde1/")
        assert maas.names() == set()
