"""Measures composes through API, region, rack and a simulated host as processes, minus the driver's time."""

from __future__ import annotations

from contextlib import closing
from uuid import uuid4

from common.addresses.simulated import SimulatedAddress
from common.disks.volume_names import volume_name
from common.guests.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.values import NicKind, OwnershipMarker
from rackd.drivers.simulated.driver import SimulatedDriver
from rackd.drivers.simulated.fault_injection import FaultInjector, FaultSequences
from regiond.requests.identifiers import new_mac_address, serial
from tests.bench.baselines.one_lock import OneLock
from tests.bench.baselines.reading_all import Need
from tests.bench.daemons import region_and_rack
from tests.bench.idle import prefilled_region
from tests.bench.measuring import Bench, Line, Times, timed

HOSTS = 8
CALLERS = 32
HARDWARE = "cores=256&memory_mib=1048576&storage_gb=10000"  # as in the prefilled databases


async def measure(bench: Bench) -> list[Line]:
    driver = await _driver_alone(bench)
    simple = await _simple(bench)
    async with region_and_rack(bench) as deployment:
        host_ids = [
            await deployment.add_host(type="simulated", power_address=f"simulated:c{n}?{HARDWARE}", name=f"c{n}")
            for n in range(HOSTS)
        ]

        async def compose(number: int) -> None:
            await deployment.compose(host_ids[number % HOSTS], cores=1, memory=1024)

        await timed(compose, HOSTS)  # the first call opens the host
        one = await timed(compose, bench.size(200, 40))
        many = await timed(compose, bench.size(640, 160), callers=CALLERS)
    return [
        _line("compose, one caller", one, driver, simple, wanted_ms=50.0),
        _line(f"compose, {CALLERS} callers on {HOSTS} hosts, {many.rate:.0f}/s", many, driver, simple),
    ]


def _line(what: str, times: Times, driver: Times, simple: Times, wanted_ms: float | None = None) -> Line:
    """Subtracts the driver's median time from each figure."""
    p50_ms, p99_ms = times.p50_ms - driver.p50_ms, times.p99_ms - driver.p50_ms
    return Line(
        key="compose" if wanted_ms is not None else "compose.many",
        what=f"{what}, minus the driver",
        wanted="" if wanted_ms is None else f"p50 ≤ {wanted_ms:.0f} ms",
        measured=f"p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms ({len(times.each_ms)} times; driver {driver.p50_ms:.1f})",
        good=None if wanted_ms is None else p50_ms <= wanted_ms,
        numbers={**times.numbers, "overhead_p50_ms": round(p50_ms, 2), "overhead_p99_ms": round(p99_ms, 2)},
        against=simple.against(
            "two commits and the driver in one process, one after another (whole, by their rates)", times, by_rate=True
        ),
    )


async def _driver_alone(bench: Bench) -> Times:
    """The simulated driver alone, in this process."""
    with closing(_driver(bench)) as driver:

        async def compose(number: int) -> None:
            driver.compose(_spec(number))

        return await timed(compose, bench.size(200, 40))


async def _simple(bench: Bench) -> Times:
    """The baseline: claim in one transaction, call the driver, and record the result in another."""
    dsn = await bench.database()
    async with prefilled_region(bench.new_folder("simple"), dsn, hosts=HOSTS, machines_each=1) as innkeeper:
        one_lock = OneLock(database=innkeeper.region.components.database, account_id=innkeeper.admin.account_id)
        with closing(_driver(bench)) as driver:

            async def compose(number: int) -> None:
                operation_id = await one_lock.claim(Need(), host_id=1 + number % HOSTS)
                driver.compose(_spec(number))
                await one_lock.succeeded(operation_id)

            return await timed(compose, bench.size(200, 40))


def _driver(bench: Bench) -> SimulatedDriver:
    address, folder = SimulatedAddress.parse(f"simulated:alone?{HARDWARE}"), bench.new_folder("driver")
    return SimulatedDriver(
        address,
        folder,
        FaultInjector(address, FaultSequences().of(address), hold=folder / "alone.hold", down=folder / "alone.down"),
    )


def _spec(number: int) -> GuestSpec:
    marker = OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())
    disk = DiskSpec(
        volume=volume_name(marker, 0), pool_id="default", size_bytes=8 * 10**9, serial=serial(marker.machine_id, 0)
    )
    nic = NicSpec(name="eth0", mac_address=new_mac_address(), kind=NicKind.NETWORK, source="default", boot=True)
    return GuestSpec(
        name=f"alone-{number}",
        marker=marker,
        architecture="amd64",
        cores=1,
        memory_mib=1024,
        disks=(disk,),
        nics=(nic,),
    )
