"""Simulated hosts and guests for tests of the simulated driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

from common.disks.volume_names import volume_name
from common.guests.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.units import BYTES_PER_GB
from common.values import DriverType, HostAccess, OwnershipMarker
from rackd.drivers.contract import Driver
from rackd.drivers.simulated.driver import SimulatedDriverFactory

INSTALLATION = UUID("0a1b2c3d-0000-4000-8000-000000000001")
OpenHost = Callable[[str], Driver]


@contextmanager
def simulated_hosts(folder: Path) -> Iterator[OpenHost]:
    """Yields a function that opens a driver by address; all drivers are closed at the end."""
    factory = SimulatedDriverFactory(folder)
    with ExitStack() as opened:

        def open_host(address: str) -> Driver:
            access = HostAccess(host_id=1, driver=DriverType.SIMULATED, address=address, installation_id=INSTALLATION)
            driver = factory.open(access)
            opened.callback(driver.close)
            return driver

        yield open_host


def spec(
    name: str, *nics: NicSpec, memory_mib: int = 1024, disks: int = 1, machine_id: UUID | None = None
) -> GuestSpec:
    marker = OwnershipMarker(installation_id=INSTALLATION, machine_id=machine_id or uuid4())
    return GuestSpec(
        name=name,
        marker=marker,
        architecture="amd64",
        cores=2,
        memory_mib=memory_mib,
        disks=tuple(
            DiskSpec(volume=volume_name(marker, index), pool_id="default", size_bytes=BYTES_PER_GB, serial=f"s{index}")
            for index in range(disks)
        ),
        nics=nics,
    )
