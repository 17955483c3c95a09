"""Hosts without projects and trust store reject their changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from common.errors import Unsupported
from common.values import DriverType, HostAccess
from rackd.drivers.contract import Driver
from rackd.drivers.libvirt.factory import LibvirtDriverFactory
from rackd.drivers.simulated.driver import SimulatedDriverFactory


@pytest.fixture(params=["libvirt", "simulated"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    simulated = request.param == "simulated"
    access = HostAccess(
        host_id=1,
        driver=DriverType.SIMULATED if simulated else DriverType.LIBVIRT,
        address="simulated:plain" if simulated else "test:///default",
        installation_id=uuid4(),
    )
    opened: Driver = SimulatedDriverFactory(tmp_path).open(access) if simulated else LibvirtDriverFactory().open(access)
    yield opened
    opened.close()


def test_hosts_without_projects_reject_their_creation(driver: Driver) -> None:
    assert driver.projects() == ()
    with pytest.raises(Unsupported, match="no projects"):
        driver.make_project("anything")


def test_hosts_without_a_trust_store_reject_certificates(driver: Driver) -> None:
    with pytest.raises(Unsupported, match="trust store"):
        driver.trust("a certificate", "a name", "a secret")
    with pytest.raises(Unsupported, match="trust store"):
        driver.untrust("ab" * 32)
