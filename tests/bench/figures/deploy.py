"""Measures what a deployment takes beyond the copy of the image and the boot of the guest, against the same by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from tests.bench.baselines.by_hand import VirshDeployments, lxc_launch
from tests.bench.daemons import region_and_rack
from tests.bench.deployments import DeploymentTimes, deploy, deploy_many, end, times_of
from tests.bench.lab import lab
from tests.bench.measuring import Bench, CannotMeasure, Line
from tests.deployment.deployment import Deployment
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.servers.own_libvirtd import OwnLibvirtd, why_no_own_libvirtd
from tests.lab.support.deployed_host import add_lxd
from tests.lab.support.guest_image import upload_image
from tests.support.disk_images import raw_disk, upload
from tests.support.ports import free_port

WANTED_S = 2.0
HOSTS, CALLERS = 8, 16
NAME = "ikdeploy"
DISK_GB, MEMORY_MIB = 3, 1024
_SHARED: Mapping[str, Any] = {"cpu_over_commit_ratio": 10, "memory_over_commit_ratio": 10}


async def measure(bench: Bench) -> list[Line]:
    lines = await _simulated(bench)
    for kind, real in (("libvirt", _libvirt), ("LXD", _lxd)):
        try:
            lines.append(await real(bench))
        except CannotMeasure as reason:
            lines.append(Line(key=f"deploy.{kind.lower()}", what=f"deploy on {kind}", wanted="", measured=str(reason)))
    return lines


async def _simulated(bench: Bench) -> list[Line]:
    """Guests boot at once, so that the whole time is ours."""
    count = bench.size(80, 16)
    async with region_and_rack(bench) as innkeeper:
        await upload(innkeeper, raw_disk(), name="custom/bench")
        machines = await _composed(innkeeper, count)
        for system_id in machines[:HOSTS]:  # the first one on each host copies the image
            await deploy(innkeeper, system_id, waits=True)
        alone = [await deploy(innkeeper, one, waits=True) for one in machines[HOSTS : HOSTS + count // 4]]
        many, whole_s = await deploy_many(innkeeper, machines[HOSTS + count // 4 :], callers=CALLERS)
    return [
        _simulated_line(alone),
        Line(
            key="deploy.many",
            what=f"deploy on {HOSTS} simulated hosts, {len(many.each_ms)} machines at once",
            wanted="",
            measured=f"{len(many.each_ms) / whole_s:.0f}/s, {many}",
            numbers={**many.numbers, "rate_per_s": round(len(many.each_ms) / whole_s, 1)},
        ),
    ]


async def _composed(innkeeper: Deployment, count: int) -> list[str]:
    """The system ids of machines on simulated hosts, in turn, and HOSTS more of them first."""
    hosts = [
        await innkeeper.add_host(
            type="simulated", power_address=f"simulated:d{number}?cores=64&memory_mib=262144&storage_gb=10000"
        )
        for number in range(HOSTS)
    ]
    made = [await innkeeper.compose(hosts[n % HOSTS], cores=1, memory=1024) for n in range(HOSTS + count)]
    return [str(machine["system_id"]) for machine in made]


def _simulated_line(found: list[DeploymentTimes]) -> Line:
    whole = times_of([one.deployed_s or 0.0 for one in found])
    power_on, report = times_of([one.power_on_s for one in found]), times_of([one.report_s or 0.0 for one in found])
    return Line(
        key="deploy.simulated",
        what="deploy on simulated hosts, one caller, the image is there, guests boot at once",
        wanted=f"≤ {WANTED_S:.0f} s",
        measured=f"{whole}: {power_on.p50_ms:.0f} ms until power-on, {report.p50_ms:.0f} ms from report to Deployed",
        good=whole.p99_ms <= WANTED_S * 1000,
        numbers={
            **whole.numbers, "power_on_p50_ms": round(power_on.p50_ms, 2), "report_p50_ms": round(report.p50_ms, 2)
        },
    )  # fmt: skip


async def _libvirt(bench: Bench) -> Line:
    """Uses a separate libvirtd, which the rack enters as if it were the system's."""
    async with lab("up-libvirt", needs="libvirtd"):  # has cached the emulators' capabilities
        if (why := why_no_own_libvirtd()) is not None:
            raise CannotMeasure(why)
        folder = bench.new_folder("libvirt")
        libvirtd = OwnLibvirtd(folder)
        await asyncio.to_thread(libvirtd.start)
        try:
            with closing(LabHost(folder, uri=libvirtd.uri, prefix=NAME)) as host:
                async with region_and_rack(bench, rack_prefix=libvirtd.entering) as innkeeper:
                    added = await innkeeper.post("vm-hosts/", type="virsh", power_address="qemu:///system", **_SHARED)
                    ours, machine = await _real(
                        bench, innkeeper, added, f"{host.prefix}vm", default_storage_pool=host.pool_id
                    )
                    await deploy(innkeeper, machine["system_id"], waits=False)
                    hand = VirshDeployments(host, libvirtd.uri, machine["hostname"], folder)
                    await end(innkeeper, machine["system_id"], "abort")
                    times = range(bench.size(10, 3))
                    by_hand = [await asyncio.to_thread(hand.deploy, number) for number in times]
        finally:
            libvirtd.close()
    return _against("libvirt", ours, by_hand, "virsh: vol-create-from, vol-resize, seed, define, start")


async def _lxd(bench: Bench) -> Line:
    """Uses a temporary LXD."""
    port = free_port()
    async with lab("up-lxd", NAME, str(port), needs="lxd"):
        server = LxdServer(NAME, f"127.0.0.1:{port}")
        async with region_and_rack(bench) as innkeeper:
            added = await add_lxd(innkeeper, server, **_SHARED)
            ours, _ = await _real(bench, innkeeper, added, NAME)
            (image,) = await asyncio.to_thread(server.ask, "/1.0/images?recursion=1")
            by_hand = [
                await asyncio.to_thread(
                    lxc_launch, server, image["fingerprint"], f"{NAME}-hand{number}", disk_gb=DISK_GB,
                    memory_mib=MEMORY_MIB,
                )
                for number in range(bench.size(10, 3))
            ]  # fmt: skip
    return _against("LXD", ours, by_hand, "lxc launch")


async def _real(
    bench: Bench, innkeeper: Deployment, host: Any, hostname: str, **settings: Any
) -> tuple[list[DeploymentTimes], Any]:
    """Deploys one machine several times with the lab's image, each time until it is powered on, and aborts.

    The first one copies the image.
    """
    if settings:
        await innkeeper.put(f"vm-hosts/{host['id']}/", **settings)
    await upload_image(innkeeper)
    composed = await innkeeper.compose(
        host["id"], hostname=hostname, cores=1, memory=MEMORY_MIB, storage=f"root:{DISK_GB}"
    )
    machine = await innkeeper.get(f"machines/{composed['system_id']}/")
    found = []
    for _ in range(1 + bench.size(10, 3)):
        found.append(await deploy(innkeeper, machine["system_id"], waits=False))
        await end(innkeeper, machine["system_id"], "abort")
    return found, machine


def _against(kind: str, ours: list[DeploymentTimes], by_hand: list[float], way: str) -> Line:
    first, later = ours[0], times_of([one.whole_s for one in ours[1:]])
    simple = times_of(by_hand)
    more_s = (later.p50_ms - simple.p50_ms) / 1000
    return Line(
        key=f"deploy.{kind.lower()}",
        what=f"deploy the lab's image on {kind} until power-on, beyond the same by hand",
        wanted=f"≤ {WANTED_S:.0f} s",
        measured=f"{abs(more_s):.2f} s {'more' if more_s > 0 else 'less'}: {later}; the first copied the image in "
        f"{first.copy_s:.1f} s and took {first.whole_s:.1f} s without that",
        good=more_s <= WANTED_S,
        numbers={**later.numbers, "more_s": round(more_s, 3), "copy_s": round(first.copy_s, 2)},
        against=simple.against(way, later),
    )
