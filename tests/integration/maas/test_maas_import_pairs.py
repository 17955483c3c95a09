"""The key pairs of LXD hosts that come from MAAS: one per server, the one that is here first."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from common.maas.inventory import Host, Inventory, Machine
from regiond.credentials.model import KeyPair
from tests.deployment.deployment import Deployment
from tests.doubles.lxd_double import FakeLxd
from tests.integration.maas.test_maas_import import apply, begin, decided, inventory, plan
from tests.integration.support.rigs.lxd_hosts import add, parameters
from tests.unit.regiond.credentials.test_key_pairs import small_pair


def host(number: str, pair: KeyPair, project: str) -> Host:
    return Host(
        id=number, name=f"kvm-{number}", power_type="lxd", power_address="lxd1", project=project,
        certificate=pair.certificate_pem, key=pair.key_pem,
    )  # fmt: skip


def of(*hosts: Host, machines: tuple[Machine, ...] = ()) -> Inventory:
    return evolve(inventory(), hosts=hosts, machines=machines)


async def imported(innkeeper: Deployment, found: Inventory) -> tuple[Any, Any, Any]:
    """Returns what was begun, the plan, and the ended operation."""
    begun = await begin(innkeeper, found)
    document = decided(await plan(innkeeper, begun), admin="same")
    return begun, document, await apply(innkeeper, begun, document)


@pytest.mark.slow
async def test_a_second_host_of_the_server_gets_the_pair_of_the_first(innkeeper: Deployment, server: FakeLxd) -> None:
    first, second = small_pair(), small_pair()
    server.trust(first.certificate_pem)
    _, document, operation = await imported(innkeeper, of(host("1", first, "default"), host("2", second, "web")))
    assert operation["state"] == "succeeded", operation["error"]
    for one in await innkeeper.get("vm-hosts/"):
        assert (await parameters(innkeeper, one))["certificate_fingerprint"] == first.fingerprint
    notes = {one["name"]: one["notes"] for one in document["objects"]["hosts"]}
    assert notes == {
        "kvm-1": [],
        "kvm-2": [
            "It uses the certificate of kvm-1, which is on the same server. If that one is restricted to projects, "
            "allow it to use web, too."
        ],
    }


@pytest.mark.slow
async def test_a_server_that_is_here_keeps_its_pair(innkeeper: Deployment, server: FakeLxd) -> None:
    here = await add(innkeeper, password=server.token())
    own = (await parameters(innkeeper, here))["certificate_fingerprint"]
    _, document, operation = await imported(innkeeper, of(host("2", small_pair(), "web")))
    assert operation["state"] == "succeeded", operation["error"]
    for one in await innkeeper.get("vm-hosts/"):
        assert (await parameters(innkeeper, one))["certificate_fingerprint"] == own
    (planned,) = document["objects"]["hosts"]
    assert "It uses the certificate of hv" in planned["notes"][0]


@pytest.mark.slow
async def test_a_repeated_import_asks_hosts_again_that_were_not_ready(innkeeper: Deployment, server: FakeLxd) -> None:
    pair = small_pair()
    lost = Machine(system_id="abcde1", hostname="vm", host_id="1", instance="vm", status=6)
    begun, document, operation = await imported(innkeeper, of(host("1", pair, "default"), machines=(lost,)))
    assert operation["state"] == "failed"
    assert "Import again when kvm-1 is ready" in await reason(innkeeper, begun)
    server.trust(pair.certificate_pem)
    await apply(innkeeper, begun, document)
    assert await reason(innkeeper, begun) == "kvm-1 has no VM vm: it was deleted, or it is in another project."


async def reason(innkeeper: Deployment, begun: Any) -> str:
    """Of the only object that could not be imported."""
    (failure,) = (await innkeeper.get(f"maas-imports/{begun['id']}/"))["failures"]
    return str(failure["reason"])
