"""What administrators of a real cluster rule: evacuated members, scheduling, groups, and projects that may use them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from uuid import uuid4

import pytest

from common.errors import DriverFailed
from common.values import PowerAction, PowerState
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.lab.clusters.test_lxd_cluster import opened
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair, make_key_pair
from tests.lab.support.lxd_specs import small_spec

pytestmark = pytest.mark.every_product

Members = tuple[LxdServer, ...]


@contextmanager
def evacuated(server: LxdServer, member: str) -> Iterator[None]:
    server.lxc("cluster", "evacuate", member, "--force")
    try:
        yield
    finally:
        server.lxc("cluster", "restore", member, "--force")


def test_an_evacuated_member_takes_no_machines_and_says_so(lxd_cluster: Members, cluster_pair: KeyPair) -> None:
    first, second = lxd_cluster[:2]
    name = f"ikrule-{uuid4().hex[:6]}"
    with closing(opened(first, cluster_pair, second.name)) as driver:
        with evacuated(first, second.name):
            (problem,) = driver.discover().problems
            assert problem.message.endswith(f"{first.command} cluster restore {second.name}")
            with pytest.raises(DriverFailed, match=f"{first.command} cluster restore"):
                driver.compose(small_spec(name, product=first.product))
            assert first.instances(name) == set()
        assert driver.discover().problems == ()
        made = small_spec(name, product=first.product)
        assert driver.compose(made).member == second.name
        driver.decompose(made.ref)


@pytest.mark.parametrize("scheduling", ["manual", "group"])
def test_members_are_used_however_their_cluster_schedules(
    lxd_cluster: Members, cluster_pair: KeyPair, scheduling: str
) -> None:
    first, second = lxd_cluster[:2]
    made = small_spec(f"ikrule-{uuid4().hex[:6]}", product=first.product)
    first.lxc("cluster", "set", second.name, "scheduler.instance", scheduling)
    try:
        with closing(opened(first, cluster_pair, second.name)) as driver:
            assert driver.compose(made).member == second.name
            assert driver.power(made.ref, PowerAction.ON, grace_s=1) is PowerState.ON
            driver.decompose(made.ref)
    finally:
        first.lxc("cluster", "unset", second.name, "scheduler.instance")


@contextmanager
def restricted(first: LxdServer, member: str) -> Iterator[tuple[LxdDriver, str]]:
    """A driver whose certificate may use one project, which is restricted, and that project."""
    pair = make_key_pair("ik-restricted")
    with first.project("ikrule") as project:
        first.lxc("project", "set", project, "restricted=true")
        with first.trusting(pair, "--restricted", "--projects", project):
            through = LxdServer(first.name, first.address, member=member)
            with closing(LxdDriverFactory().open(through.access(pair, project=project))) as driver:
                yield driver, project


def test_a_restricted_project_has_to_allow_the_choice_of_a_member(lxd_cluster: Members) -> None:
    first, second, third = lxd_cluster
    made = small_spec(f"ikrule-{uuid4().hex[:6]}", product=first.product)
    with restricted(first, second.name) as (driver, project):
        with pytest.raises(DriverFailed, match=f"{first.command} project set PROJECT restricted.cluster.target=allow"):
            driver.compose(made)
        first.lxc("project", "set", project, "restricted.cluster.target=allow")
        assert driver.compose(made).member == second.name
        driver.decompose(made.ref)
        group = f"ikrule-{uuid4().hex[:6]}"
        first.lxc("cluster", "group", "create", group)
        first.lxc("cluster", "group", "assign", third.name, f"default,{group}")
        try:
            first.lxc("project", "set", project, f"restricted.cluster.groups={group}")
            with pytest.raises(DriverFailed, match=r"restricted\.cluster\.groups.*cluster group assign"):
                driver.compose(made)
        finally:
            first.lxc("project", "unset", project, "restricted.cluster.groups")
            first.lxc("cluster", "group", "assign", third.name, "default")
            first.lxc("cluster", "group", "delete", group)
