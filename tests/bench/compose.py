"""Compose through API, region, rack and a simulated host, each a process of its own, minus the driver's own time."""

from __future__ import annotations

from uuid import uuid4

from common.marks import volume_name
from common.simulated_address import SimulatedAddress
from common.values import DiskSpec, GuestSpec, Mark, NicKind, NicSpec
from rackd.drivers.simulated.driver import SimulatedDriver
from rackd.drivers.simulated.pace import Chances, Pace
from regiond.names import new_mac_address, serial
from tests.bench.daemons import region_and_rack
from tests.bench.measuring import Bench, Line, Times, timed

HOSTS = 8
CALLERS = 32
HARDWARE = "cores=4096&memory_mib=16777216&storage_gb=1000000"


async def measure(bench: Bench) -> list[Line]:
    driver = await _driver_alone(bench)
    async with region_and_rack(bench) as daemons:
        host_ids = [
            await daemons.add_host(type="simulated", power_address=f"simulated:c{n}?{HARDWARE}", name=f"c{n}")
            for n in range(HOSTS)
        ]

        async def compose(number: int) -> None:
            await daemons.compose(host_ids[number % HOSTS], cores=1, memory=1024)

        await timed(compose, HOSTS)  # the first call opens the host
        one = await timed(compose, bench.size(200, 40))
        many = await timed(compose, bench.size(640, 160), callers=CALLERS)
    return [
        _line("compose, one caller", one, driver, wanted_ms=50.0),
        _line(f"compose, {CALLERS} callers on {HOSTS} hosts, {many.rate:.0f}/s", many, driver),
    ]


def _line(what: str, times: Times, driver: Times, wanted_ms: float | None = None) -> Line:
    """The driver's median time is taken away from each figure."""
    p50_ms, p99_ms = times.p50_ms - driver.p50_ms, times.p99_ms - driver.p50_ms
    return Line(
        what=f"{what}, minus the driver",
        wanted="" if wanted_ms is None else f"p50 ≤ {wanted_ms:.0f} ms",
        measured=f"p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms ({len(times.each_ms)} times; driver {driver.p50_ms:.1f})",
        good=None if wanted_ms is None else p50_ms <= wanted_ms,
    )


async def _driver_alone(bench: Bench) -> Times:
    """The simulated driver in this process, with nobody between."""
    address = SimulatedAddress.parse(f"simulated:alone?{HARDWARE}")
    folder = bench.new_folder("driver")
    driver = SimulatedDriver(address, folder, Pace(address, Chances().of(address), hold=folder / "alone.hold"))

    async def compose(number: int) -> None:
        driver.compose(_spec(number))

    try:
        return await timed(compose, bench.size(200, 40))
    finally:
        driver.close()


def _spec(number: int) -> GuestSpec:
    mark = Mark(installation_id=uuid4(), machine_id=uuid4())
    disk = DiskSpec(
        volume=volume_name(mark, 0), pool_id="default", size_bytes=8 * 10**9, serial=serial(mark.machine_id, 0)
    )
    nic = NicSpec(name="eth0", mac_address=new_mac_address(), kind=NicKind.NETWORK, source="default", boot=True)
    return GuestSpec(
        name=f"alone-{number}", mark=mark, architecture="amd64", cores=1, memory_mib=1024, disks=(disk,), nics=(nic,)
    )
