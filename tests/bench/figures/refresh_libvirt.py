"""Measures discovery runs of a libvirtd with many domains, against virsh for each domain."""

from __future__ import annotations

import asyncio
from contextlib import closing
from uuid import uuid4

from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.inventory.domain_cache import REREAD_DOMAINS
from tests.bench.baselines import virsh_session
from tests.bench.baselines.guest_facts import check_alike
from tests.bench.lab import lab
from tests.bench.measuring import Bench, CannotMeasure, Line, timed
from tests.bench.refresh_reads import discover, line
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.own_libvirtd import OwnLibvirtd, why_no_own_libvirtd

FEW = REREAD_DOMAINS + 10  # a discovery run rereads this many definitions


async def measure(bench: Bench) -> list[Line]:
    """Uses a separate libvirtd."""
    async with lab("up-libvirt", needs="libvirtd"):  # has cached the emulators' capabilities
        if (why := why_no_own_libvirtd()) is not None:
            raise CannotMeasure(why)
        folder = bench.new_folder("libvirt")
        libvirtd = OwnLibvirtd(folder)
        await asyncio.to_thread(libvirtd.start)
        try:
            with closing(LabHost(folder, uri=libvirtd.uri, prefix="ikbench")) as host:
                return await _measure(bench, host, libvirtd.uri)
        finally:
            libvirtd.close()


async def _measure(bench: Bench, host: LabHost, uri: str) -> list[Line]:
    guests = bench.size(1000, 150)
    with closing(LibvirtDriver(lambda: Client.open(uri), uuid4())) as driver:
        await asyncio.to_thread(_make, host, 0, FEW)
        await discover(driver)
        few = await discover(driver)
        await asyncio.to_thread(_make, host, FEW, guests)
        first = await timed(lambda _: discover(driver), 1)
        many = await discover(driver)
        again = await timed(lambda _: discover(driver), bench.size(20, 5))
    check_alike(await asyncio.to_thread(virsh_session.guests, uri), many.guests)
    simple = await timed(lambda _: asyncio.to_thread(virsh_session.guests, uri), bench.size(5, 3))
    return [
        line(
            "libvirt", guests, many_calls=many.calls, few_calls=few.calls, few=FEW, first=first, again=again,
            simple=simple, simple_way=f"virsh, one session, {guests + 2} calls",
        )
    ]  # fmt: skip


def _make(host: LabHost, start: int, end: int) -> None:
    for number in range(start, end):
        host.make_foreign(f"n{number}", disk=number % 3 == 0)
