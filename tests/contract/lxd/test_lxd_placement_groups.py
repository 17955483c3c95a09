"""Placement groups of a cluster of LXD are discovered where the server has them."""

from __future__ import annotations

from typing import cast

import pytest

from common.placement_groups import PlacementGroup
from tests.contract.support.driver_fixtures import FIXTURES, DriverFixture, spec_for
from tests.contract.support.lxd_double_fixture import LxdDoubleFixture

pytestmark = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"lxd-double", "lxd-6-double", "incus-double"}], indirect=True
)


def make_group(double: LxdDoubleFixture, name: str, **config: str) -> None:
    body = {"name": name, "description": "of the web shop", "config": config}
    double.administrator.ask("/1.0/placement-groups", method="POST", body=body)


def test_a_cluster_shows_the_placement_groups_of_its_project(host: DriverFixture) -> None:
    double = cast("LxdDoubleFixture", host)
    lxd = double.administrator.lxd
    lxd.member = "double"
    has_groups = "instance_placement_groups" in lxd.release.extensions
    if has_groups:
        make_group(double, "web", policy="spread", rigor="strict")
        make_group(double, "apart", policy="compact", rigor="permissive")
    spec = spec_for(host, "grouped")
    double.driver.compose(spec)
    if has_groups:
        lxd.instance(spec.name, "default").config["placement.group"] = "web"
        lxd.profiles["default"]["config"]["placement.group"] = "apart"
    found = double.driver.discover()
    assert found.facts.cluster_member == "double"
    assert [guest.name for guest in found.guests] == [spec.name]
    assert not found.problems
    assert found.facts.placement_groups == (
        (
            PlacementGroup(name="apart", description="of the web shop", policy="compact", rigor="permissive"),
            PlacementGroup(name="web", description="of the web shop", policy="spread", rigor="strict", instances=1),
        )
        if has_groups
        else ()
    )


def test_a_server_outside_a_cluster_is_not_asked_for_groups(host: DriverFixture) -> None:
    double = cast("LxdDoubleFixture", host)
    double.administrator.lxd.placement_groups["default", "left"] = {"description": "", "config": {}}
    assert double.driver.discover().facts.placement_groups == ()
