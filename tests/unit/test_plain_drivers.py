"""Hosts that have no projects and no trust list say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from common.errors import Unsupported
from common.values import DriverType, HostAccess
from rackd.drivers.contract import Driver
from rackd.drivers.libvirt.opening import LibvirtOpening
from rackd.drivers.simulated.driver import SimulatedHosts


@pytest.fixture(params=["libvirt", "simulated"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    simulated = request.param == "simulated"
    access = HostAccess(
        host_id=1,
        driver=DriverType.SIMULATED if simulated else DriverType.LIBVIRT,
        address="simulated:plain" if simulated else "test:///default",
        installation_id=uuid4(),
    )
    opened: Driver = SimulatedHosts(tmp_path).open(access) if simulated else LibvirtOpening().open(access)
    yield opened
    opened.close()


def test_a_plain_host_lists_no_projects_and_makes_none(driver: Driver) -> None:
    assert driver.projects() == ()
    with pytest.raises(Unsupported, match="no projects"):
        driver.make_project("anything")


def test_a_plain_host_keeps_no_list_of_certificates(driver: Driver) -> None:
    with pytest.raises(Unsupported, match="trusted certificates"):
        driver.trust("a certificate", "a name", "a secret")
    with pytest.raises(Unsupported, match="trusted certificates"):
        driver.untrust("ab" * 32)
