"""Measures discovery runs of an LXD server with many instances, against pylxd for each instance."""

from __future__ import annotations

import asyncio
from contextlib import closing

from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.bench.baselines import pylxd_calls
from tests.bench.baselines.guest_facts import check_alike
from tests.bench.baselines.pylxd_calls import PylxdCalls
from tests.bench.lab import lab
from tests.bench.measuring import Bench, Line, timed
from tests.bench.refresh_reads import discover, line
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import make_key_pair
from tests.support.ports import free_port

NAME = "ikbench"
FEW = 2


async def measure(bench: Bench) -> list[Line]:
    """Uses a temporary LXD."""
    port = free_port()
    async with lab("up-lxd", NAME, str(port), needs="lxd"):
        return await measure_server(bench, LxdServer(NAME, f"127.0.0.1:{port}"), "LXD")


async def measure_server(bench: Bench, lxd: LxdServer, product: str) -> list[Line]:
    """Fills the server, which is empty."""
    guests, pair, folder = bench.size(250, 25), make_key_pair("ikbench"), bench.new_folder("lxd")
    with lxd.trusting(pair):
        access = lxd.access(pair)
        with closing(LxdDriverFactory().open(access)) as driver:
            await asyncio.to_thread(lxd.make_many, "n", "default", range(FEW))
            few = await discover(driver)
            await asyncio.to_thread(lxd.make_many, "n", "default", range(FEW, guests))
            first = await timed(lambda _: discover(driver), 1)
            many = await discover(driver)
            again = await timed(lambda _: discover(driver), bench.size(20, 5))
        files = {name: folder / name for name in ("own.crt", "own.key", "server.crt")}
        for path, text in zip(files.values(), (pair.certificate_pem, pair.key_pem, access.pinned or ""), strict=True):
            path.touch(mode=0o600)
            path.write_text(text)
        calls = PylxdCalls(
            endpoint=f"https://{lxd.address}", certificate=files["own.crt"], key=files["own.key"],
            server_certificate=files["server.crt"],
        )  # fmt: skip
        client = await asyncio.to_thread(calls.connect)
        check_alike(await asyncio.to_thread(pylxd_calls.guests, client), many.guests)
        simple = await timed(lambda _: asyncio.to_thread(pylxd_calls.guests, client), bench.size(5, 3))
    return [
        line(
            product, guests, many_calls=many.calls, few_calls=few.calls, few=FEW, first=first, again=again,
            simple=simple, simple_way=f"pylxd, {guests + 1} calls",
        )
    ]  # fmt: skip
