"""A look at a real libvirtd with many domains, beside asking virsh for each of them."""

from __future__ import annotations

import asyncio
from contextlib import closing
from uuid import uuid4

from rackd.drivers.libvirt.client import Client
from rackd.drivers.libvirt.definitions import AGAIN
from rackd.drivers.libvirt.driver import LibvirtDriver
from tests.bench.baselines import virsh_session
from tests.bench.baselines.told import check_alike
from tests.bench.lab import lab
from tests.bench.looks import line, look
from tests.bench.measuring import Bench, CannotMeasure, Line, timed
from tests.lab.lab_host import LabHost
from tests.lab.own_libvirtd import OwnLibvirtd, why_no_own_libvirtd

FEW = AGAIN + 10  # a look reads that many definitions again in any case


async def measure(bench: Bench) -> list[Line]:
    """In a libvirtd of its own: the machine's is left alone."""
    async with lab("up-libvirt", needs="libvirtd"):  # knows its emulators; asking them again takes long
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
        await look(driver)
        few = await look(driver)
        await asyncio.to_thread(_make, host, FEW, guests)
        first = await timed(lambda _: look(driver), 1)
        many = await look(driver)
        again = await timed(lambda _: look(driver), bench.size(20, 5))
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
