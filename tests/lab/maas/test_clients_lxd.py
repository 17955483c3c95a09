"""Clients of MAAS live on real LXD servers, in the scenarios that they have on simulated hosts (`tests/clients/`).

The guests of Juju and Terraform boot, at the same time and on one host, which Terraform adds. Those of the others start
on another server, and their report is sent as soon as they run: a boot takes a minute of CPU time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.calls import ANSIBLE, CLUSTER_API, JUJU, LIBMAAS, TERRAFORM
from tests.clients.client_host import ClientHost
from tests.clients.conftest import be_patient
from tests.clients.environment import program
from tests.clients.exact_bytes import Ansible, ClusterApi, Gomaasclient
from tests.clients.go_programs import key_of
from tests.clients.recording_proxy import recording
from tests.clients.scenarios import cluster_api, juju, libmaas, two_clients
from tests.clients.scenarios.ansible import Modules
from tests.clients.scenarios.terraform import Terraform
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.lab.servers.lxd_server import LxdServer, booting_server, clients_server, why_no_lxd
from tests.lab.servers.needs import require
from tests.lab.support.deployed_guest import GuestBridge, guest_bridge
from tests.lab.support.deployed_host import add_lxd
from tests.lab.support.early_reports import reporting_early
from tests.lab.support.guest_image import BOOT_S, upload_image
from tests.support.waiting import eventually

POLL_S = 2.0
GRACE_S = 5.0  # guests that have not booted do not shut down by themselves


@contextmanager
def clean(server: LxdServer) -> Iterator[LxdServer]:
    """Its guests get addresses from .100 on by DHCP: the others are for links and containers."""
    bridge, prefix = server.managed_bridge, server.managed_subnet.rpartition(".")[0]
    server.lxc("network", "set", bridge, f"ipv4.dhcp.ranges={prefix}.100-{prefix}.200")
    with server.restored(""):
        yield server
        server.delete_our_images()
    server.lxc("network", "unset", bridge, "ipv4.dhcp.ranges")


@pytest.fixture(autouse=True)
def patient_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in tests/clients/conftest.py: these clients use the result at once."""
    be_patient(monkeypatch)


@pytest.fixture
def booting() -> Iterator[LxdServer]:
    require(why_no_lxd())
    with clean(booting_server()) as server:
        yield server


@pytest.fixture
def server() -> Iterator[LxdServer]:
    require(why_no_lxd())
    with clean(clients_server()) as server:
        yield server


@pytest.fixture
def bridge() -> Iterator[GuestBridge]:
    with guest_bridge("10.254.16") as bridge:
        yield bridge


async def client_host(server: LxdServer) -> ClientHost:
    token = await asyncio.to_thread(server.token, "client")
    return ClientHost(
        type="lxd", address=server.address, secret=token, subnet=server.managed_subnet, poll_s=POLL_S
    )  # fmt: skip


async def terraform_and_juju(innkeeper: Deployment, server: LxdServer, juju_program: str) -> None:
    host, key, api_url = await client_host(server), key_of(innkeeper), innkeeper.api.url
    async with recording(api_url) as of_terraform, recording(api_url) as of_juju:
        terraform = Terraform(Gomaasclient.to(of_terraform.url, key), host)
        await terraform.create_vm_host()
        space = await juju.space_of(innkeeper, host.subnet)
        async with asyncio.TaskGroup() as both:
            both.create_task(terraform.live())
            found = both.create_task(
                juju.bootstrap_and_end(juju_program, of_juju.url, key, space, host, deadline_s=BOOT_S)
            )  # fmt: skip
        assert found.result()["container"][2] == [host.ip(2)], "outside of the DHCP range"
        await eventually(lambda: is_alone(innkeeper, terraform.system_id))
        await terraform.destroy()
    await eventually(lambda: is_removed(innkeeper, "tf-host"))
    TERRAFORM.check(of_terraform.calls)
    JUJU.check(of_juju.calls)


async def is_alone(innkeeper: Deployment, system_id: str) -> bool:
    """An allocation that composed a machine ends with its release."""
    on_host = (await innkeeper.get(f"machines/{system_id}/"))["pod"]["id"]
    found = [one["system_id"] for one in await innkeeper.get("machines/") if one["pod"]["id"] == on_host]
    return found == [system_id]


async def is_removed(innkeeper: Deployment, host: str) -> bool:
    """A removal that takes longer than its answer may, such as on a busy machine, continues."""
    return host not in {one["name"] for one in await innkeeper.get("vm-hosts/")}


async def others(innkeeper: Deployment, server: LxdServer, guest_url: str, home: Path) -> None:
    """One after the other: each adds the server and removes it, but Cluster API and two users at once, who find it."""
    key, api_url = key_of(innkeeper), innkeeper.api.url
    async with reporting_early(server, guest_url):
        async with recording(api_url) as proxy:
            await Modules(Ansible.to(proxy.url, key), await client_host(server)).live()
        ANSIBLE.check(proxy.calls)
        await eventually(lambda: is_removed(innkeeper, "an-host"))
        async with recording(api_url) as proxy:
            await libmaas.live(proxy.url, key, await client_host(server), home, deadline_s=BOOT_S)
        LIBMAAS.check(proxy.calls)
        await eventually(lambda: is_removed(innkeeper, "lib"))
        added = await add_lxd(innkeeper, server)
        async with recording(api_url) as proxy:
            client = ClusterApi.to(proxy.url, await cluster_api.hmac_key(innkeeper))
            host = await client_host(server)
            system_id = await cluster_api.node(client, added, host)
        CLUSTER_API.check(proxy.calls)
        await innkeeper.delete(f"machines/{system_id}/")
        await two_clients.live(innkeeper, added["id"], host)
        await innkeeper.delete(f"vm-hosts/{added['id']}/")


async def test_clients_live_on_lxd(
    tmp_path: Path, database_url: str, booting: LxdServer, server: LxdServer, bridge: GuestBridge
) -> None:
    juju_program, _ = await juju.juju_program(tmp_path), program("python")  # skip here, not in a task
    before = [one.volumes() for one in (booting, server)]
    async with deployed(
        tmp_path, database_url, guest_url=bridge.guest_url, power_off_grace_s=GRACE_S
    ) as innkeeper:  # fmt: skip
        await bridge.start_rack(innkeeper)
        await upload_image(innkeeper, "ubuntu/noble")
        async with asyncio.TaskGroup() as clients:
            clients.create_task(terraform_and_juju(innkeeper, booting, juju_program))
            clients.create_task(others(innkeeper, server, bridge.guest_url, tmp_path))
        for kind in ("machines/", "vm-hosts/", "tags/", "files/", "devices/"):
            assert await innkeeper.get(kind) == [], kind
        assert await innkeeper.ledger_problems() == []
    assert [one.volumes() for one in (booting, server)] == before
    assert [one.our_images() for one in (booting, server)] == [set(), set()]
