"""Measures discovery runs of an Incus server with many instances, against pylxd for each instance."""

from __future__ import annotations

import asyncio

from tests.bench.figures.refresh_lxd import NAME, measure_server
from tests.bench.measuring import Bench, CannotMeasure, Line
from tests.lab.servers.incus_server import FOLDERS, LAB, IncusServer, why_no_incus
from tests.lab.servers.lxd_server import run_lab
from tests.support.ports import free_port

VERSION = "7"


async def measure(bench: Bench) -> list[Line]:
    """Uses a temporary Incus 7."""
    if why := why_no_incus(VERSION):
        raise CannotMeasure(why)
    port = free_port()
    await asyncio.to_thread(run_lab, str(LAB), "up", NAME, str(port), VERSION, **FOLDERS)
    try:
        return await measure_server(bench, IncusServer(NAME, f"127.0.0.1:{port}"), "Incus")
    finally:
        await asyncio.to_thread(run_lab, str(LAB), "stop", NAME, **FOLDERS)
