"""Incus and a certificate that is restricted to one project: what the driver reads, does, and says that it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from attrs import evolve, frozen

from common.errors import NotFound
from common.values import HostAccess, PowerAction, PowerState
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from regiond.machines.core.guest_spec import name_of_new_volume
from tests.contract.support.guest_samples import new_marker, volumes_of
from tests.lab.conftest import INSTALLATION
from tests.lab.servers.every_product import server_of
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import make_key_pair
from tests.lab.support.lxd_specs import small_spec


@frozen(kw_only=True)
class Restricted:
    """A driver whose certificate may use one project, on a server with a second storage pool."""

    server: LxdServer
    project: str
    pool: str
    access: HostAccess
    driver: LxdDriver

    def pools(self) -> list[str]:
        return sorted(pool.pool_id for pool in self.driver.discover().facts.storage_pools)

    def problems(self) -> list[str]:
        return [problem.message for problem in self.driver.discover().problems]

    @contextmanager
    def profile(self) -> Iterator[None]:
        """The project has a profile that names the second pool."""
        of_project = ("--project", self.project)
        self.server.lxc("profile", "create", "pools", *of_project)
        self.server.lxc("profile", "device", "add", "pools", "root", "disk", f"pool={self.pool}", "path=/", *of_project)
        try:
            yield
        finally:
            self.server.lxc("profile", "delete", "pools", *of_project)


@pytest.fixture(params=["incus-6", "incus-7"])
def restricted(request: pytest.FixtureRequest) -> Iterator[Restricted]:
    server, pair = server_of(request), make_key_pair("ik-restricted")
    with (
        server.pool("dir") as pool,
        server.project("ikres") as project,
        server.trusting(pair, "--restricted", "--projects", project),
    ):
        access = server.access(pair, project=project)
        driver = LxdDriverFactory().open(access)
        yield Restricted(server=server, project=project, pool=pool, access=access, driver=driver)
        driver.close()


def lists_pools(one: Restricted) -> bool:
    """Incus 6.0.4 does not, to such a certificate."""
    version = str(one.server.ask("/1.0")["environment"]["server_version"])
    return tuple(map(int, version.split("."))) > (6, 0, 5)


def test_pools_that_cannot_be_listed_are_found_by_their_names(restricted: Restricted) -> None:
    every = sorted(["default", restricted.pool])
    assert restricted.pools() == (every if lists_pools(restricted) else ["default"])
    with restricted.profile():
        assert restricted.pools() == every
        said = restricted.problems()
    assert len(said) == (0 if lists_pools(restricted) else 1)
    assert all("restricted to projects" in one and f": {', '.join(every)}." in one for one in said)


def test_a_machine_has_disks_in_a_pool_that_is_not_listed(restricted: Restricted) -> None:
    driver = restricted.driver
    wanted = small_spec(f"ikres-{uuid4().hex[:6]}", ("default", restricted.pool), product="Incus")
    driver.compose(wanted)
    assert driver.power(wanted.ref, PowerAction.ON, grace_s=1) is PowerState.ON
    assert restricted.pools() == sorted(["default", restricted.pool])
    driver.decompose(wanted.ref, volumes_of(wanted))
    assert driver.discover().guests == ()
    elsewhere = small_spec(f"ikres-{uuid4().hex[:6]}", ("ikres-missing",), product="Incus")
    with pytest.raises(NotFound, match="no storage pool 'ikres-missing'"):
        driver.compose(elsewhere)


def test_volumes_of_other_projects_are_not_offered_for_removal(restricted: Restricted) -> None:
    marker = evolve(new_marker(INSTALLATION), machine_id=uuid4())
    name = name_of_new_volume(marker, 1, product="Incus")
    where = "/1.0/storage-pools/default/volumes/custom"
    body = {"name": name, "content_type": "block", "config": {"size": "16MiB"}}
    for project in ("default", restricted.project):
        restricted.server.ask(f"{where}?project={project}", method="POST", body=body)
    try:
        found = restricted.driver.discover().orphaned_volumes
        assert [(one.project, one.name) for one in found] == [(restricted.project, name)]
    finally:
        for project in ("default", restricted.project):
            restricted.server.ask(f"{where}/{name}?project={project}", method="DELETE")


def test_other_projects_are_refused_in_words(restricted: Restricted) -> None:
    other = LxdDriverFactory().open(evolve(restricted.access, project="default"))
    with pytest.raises(NotFound, match=f"no project 'default' that this certificate may use.*{restricted.project}"):
        other.discover()
    other.close()
