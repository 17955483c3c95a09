"""Tests on real hypervisors; all are marked `lab` and skipped with a reason if the lab is not running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.contract.support.libvirt_fixtures import QemuFixture, qemu_fixture
from tests.lab.servers.every_product import cluster_of, pair_of, parametrize, server_of
from tests.lab.servers.host_setup import host_interface, huge_pages
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.servers.needs import LAB_DIR, SSH_PORT, require, why_no_huge_pages, why_no_libvirt, why_no_ssh
from tests.lab.servers.own_libvirtd import OwnLibvirtd, why_no_own_libvirtd
from tests.lab.support.key_pair import KeyPair, make_key_pair

if TYPE_CHECKING:
    from tests.deployment.deployment import Deployment

INSTALLATION = UUID("6f0d0c60-7a59-4f4b-9a8f-5d5ad0f1c002")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/lab/"):
            item.add_marker(pytest.mark.lab)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc)


@pytest.fixture
def port() -> Iterator[str]:
    """A network interface of the machine."""
    with host_interface() as made:
        yield made


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[QemuFixture]:
    """The system's libvirt, with a storage pool for this test."""
    host_fixture = qemu_fixture(INSTALLATION, tmp_path)
    yield host_fixture
    host_fixture.close()


@pytest.fixture
def lab_host(tmp_path: Path) -> Iterator[LabHost]:
    """The system's libvirt, with a storage pool for this test."""
    require(why_no_libvirt())
    host = LabHost(tmp_path)
    yield host
    host.close()


@pytest.fixture
def lab_ssh() -> tuple[str, str]:
    """The lab's sshd: a libvirt address, and the private key that it accepts."""
    require(why_no_ssh())
    return f"qemu+ssh://root@127.0.0.1:{SSH_PORT}/system", (LAB_DIR / "ssh" / "client").read_text()


@pytest.fixture
def own_libvirtd(tmp_path: Path) -> Iterator[OwnLibvirtd]:
    """A libvirtd for this test alone, which may be stopped and killed."""
    require(why_no_own_libvirtd())
    daemon = OwnLibvirtd(tmp_path)
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture(scope="session")
def lxd(request: pytest.FixtureRequest) -> LxdServer:
    """A real server, started for the first test that uses it."""
    return server_of(request)


@pytest.fixture
def server(lxd: LxdServer, request: pytest.FixtureRequest) -> Iterator[LxdServer]:
    """The server, restored afterwards. Names that a test gives start with the PREFIX of its module."""
    with lxd.restored(request.module.PREFIX):
        yield lxd


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> Iterator[tuple[LxdServer, LxdServer]]:
    """Two servers with empty trust stores. Names that a test gives start with `iktrust-`."""
    pair = pair_of(request)
    yield pair
    for server in pair:
        server.sweep("iktrust-")
        server.distrust(server.trusted())
        for project in server.ask("/1.0/projects?recursion=1"):
            if project["name"] != "default":
                server.lxc("project", "delete", project["name"])


@pytest.fixture
def deployment(tmp_path: Path, server_folder: Path) -> Iterator[Deployment]:
    """A deployment of processes; the test starts them."""
    from tests.deployment.processes import as_processes

    created = as_processes(folder=tmp_path, server_folder=server_folder)
    yield created
    created.processes.kill_all()


@pytest.fixture(scope="session")
def lxd_cluster(request: pytest.FixtureRequest) -> tuple[LxdServer, ...]:
    """The members of a real cluster."""
    return cluster_of(request)


@pytest.fixture
def cluster(lxd_cluster: tuple[LxdServer, ...], request: pytest.FixtureRequest) -> Iterator[tuple[LxdServer, ...]]:
    """The cluster, restored afterwards. Names that a test gives start with the PREFIX of its module."""
    with lxd_cluster[0].restored(request.module.PREFIX):
        yield lxd_cluster


@pytest.fixture
def trusted(lxd: LxdServer) -> Iterator[KeyPair]:
    """A pair that the server trusts during this test."""
    pair = make_key_pair("ik-trusted")
    with lxd.trusting(pair):
        yield pair


@pytest.fixture
def driver(lxd: LxdServer, trusted: KeyPair) -> Iterator[LxdDriver]:
    """The driver of the server."""
    opened = LxdDriverFactory().open(lxd.access(trusted))
    yield opened
    opened.close()


@pytest.fixture
def cluster_pair(lxd_cluster: tuple[LxdServer, ...]) -> Iterator[KeyPair]:
    """A pair that the cluster trusts during this test."""
    pair = make_key_pair("ik-trusted")
    with lxd_cluster[0].trusting(pair):
        yield pair


@pytest.fixture
def pages() -> Iterator[int]:
    """The number of huge pages added during this test, enough for a machine of 1 GiB."""
    require(why_no_huge_pages())
    with huge_pages(640):
        yield 640


@pytest.fixture
def prefix(lxd: LxdServer) -> Iterator[str]:
    """The prefix of this test's instances and volumes, which are removed afterwards."""
    name = f"iklab-{uuid4().hex[:6]}-"
    yield name
    lxd.sweep(name)
