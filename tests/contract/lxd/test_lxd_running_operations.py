"""Operations of other racks on an instance: releases of LXD name it in different fields."""

from __future__ import annotations

from typing import cast

import pytest

from common.errors import DriverFailed
from common.values import Autostart, PowerAction, PowerState
from rackd.drivers.lxd.connection.client import path
from rackd.drivers.lxd.guests import power
from tests.contract.support.driver_fixtures import FIXTURES, DriverFixture, spec_for
from tests.contract.support.lxd_double_fixture import LxdDoubleFixture
from tests.contract.support.lxd_prepared_server import client_of
from tests.lxd_http import operations

pytestmark = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"lxd-double", "lxd-6-double", "incus-double"}], indirect=True
)


def uuid_of(host: LxdDoubleFixture, name: str) -> str:
    client = client_of(host.access)
    found = client.get(path("instances", name))["config"]["volatile.uuid"]
    client.close()
    return str(found)


@pytest.mark.parametrize(
    ("busy", "stays"),
    [
        ("/1.0/instances/{name}", True),
        ("/1.0/instances/{name}?project=default", True),
        ("/1.0/instances/{name}/snapshots/first", True),
        ("/1.0/instances/{name}-2", False),
        ("/1.0/images/{name}", False),
    ],
)
def test_an_instance_that_another_rack_creates_is_not_deleted(host: DriverFixture, busy: str, stays: bool) -> None:
    double, spec = cast("LxdDoubleFixture", host), spec_for(host, "busy")
    double.make_volume(spec, spec.disks[0])
    found = uuid_of(double, spec.name)
    operations.leave_running(
        double.administrator.lxd, "Creating instance", {"instances": [busy.format(name=spec.name)]}
    )
    double.driver.compose(spec)
    assert (uuid_of(double, spec.name) == found) is stays


def test_a_guest_runs_although_its_autostart_cannot_be_set(host: DriverFixture) -> None:
    double, spec = cast("LxdDoubleFixture", host), spec_for(host, "busy")
    double.driver.compose(spec)
    double.administrator.lxd.busy.add(spec.name)
    state = double.driver.power(spec.ref, PowerAction.ON, grace_s=0.1, autostart=Autostart.NEVER)
    assert state is PowerState.ON
    with pytest.raises(DriverFailed, match="busy"):
        double.driver.set_autostart(spec.ref, Autostart.NEVER)


def test_a_stop_waits_for_another_operation(host: DriverFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    double, spec = cast("LxdDoubleFixture", host), spec_for(host, "busy")
    monkeypatch.setattr(power, "BUSY_S", 0.001)
    double.driver.compose(spec)
    double.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    double.administrator.lxd.refusals += ['Instance is busy running a "update" operation'] * 3
    assert double.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1) is PowerState.OFF
    assert double.administrator.lxd.refusals == []


def test_another_refusal_of_a_stop_is_an_error_at_once(host: DriverFixture) -> None:
    double, spec = cast("LxdDoubleFixture", host), spec_for(host, "busy")
    double.driver.compose(spec)
    double.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    double.administrator.lxd.refusals += ["disk full"] * 2
    with pytest.raises(DriverFailed, match="disk full"):
        double.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    assert double.administrator.lxd.refusals == ["disk full"]


def test_an_operation_goes_on_although_the_wait_for_it_fails(host: DriverFixture) -> None:
    double, spec = cast("LxdDoubleFixture", host), spec_for(host, "slow")
    double.administrator.lxd.slow_waits = 3
    double.driver.compose(spec)
    assert double.administrator.lxd.slow_waits == 0
    assert double.driver.find(spec.ref) is not None


def test_an_open_console_is_not_waited_for(host: DriverFixture) -> None:
    """It may never end: Incus 6.0 keeps one that a killed rack has left."""
    double, spec = cast("LxdDoubleFixture", host), spec_for(host, "watched")
    double.make_volume(spec, spec.disks[0])
    lxd, about = double.administrator.lxd, {"instances": [f"/1.0/instances/{spec.name}"]}
    operations.leave_running(lxd, "Showing console", about, kind="websocket")
    double.driver.compose(spec)
    assert operations.running(lxd) == ["Showing console"]
