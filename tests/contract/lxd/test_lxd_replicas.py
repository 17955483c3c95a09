"""A project that LXD 6.9 keeps as the replica of another cluster's takes no VM, and says so."""

from __future__ import annotations

from typing import cast

import pytest

from common.errors import DriverFailed
from common.values import GuestRef, PowerAction
from tests.contract.support.driver_fixtures import FIXTURES, DriverFixture, spec_for
from tests.contract.support.lxd_double_fixture import LxdDoubleFixture

pytestmark = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id == "lxd-6-double"], indirect=True)


def test_a_standby_project_is_a_problem_of_its_host(host: DriverFixture) -> None:
    double, spec = cast("LxdDoubleFixture", host), spec_for(host, "replica")
    double.driver.compose(spec)
    assert not double.driver.discover().problems
    double.administrator.lxd.projects.add("other")
    double.administrator.lxd.standby_projects.add("other")
    assert not double.driver.discover().problems
    double.administrator.lxd.standby_projects.add("default")
    (problem,) = double.driver.discover().problems
    assert problem.subject == "project default"
    assert "lxc project promote-replica default" in problem.message
    ref = GuestRef(name=spec.name, marker=spec.marker)
    with pytest.raises(DriverFailed, match="standby"):
        double.driver.power(ref, PowerAction.ON, grace_s=1.0)
