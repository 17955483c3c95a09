"""The port of metrics: what it answers besides metrics, and how few connections it keeps."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry, Gauge

from common.errors import BadSettings
from common.process import metrics_site
from common.process.http_listener import HttpListener
from common.process.metrics_site import metrics_listener
from tests.support.clock import advance
from tests.support.waiting import eventually


def made(host: str = "127.0.0.1", port: int = 0, *, held: asyncio.Event | None = None) -> HttpListener | None:
    """Returns a listener whose answers wait for `held`."""
    registry = CollectorRegistry()
    Gauge("innkeeper_answer", "A number.", registry=registry).set(42)

    async def prepare() -> None:
        if held is not None:
            await held.wait()

    return metrics_listener(registry, host=host, port=port, prepare=prepare)


@asynccontextmanager
async def listening(*, held: asyncio.Event | None = None) -> AsyncIterator[int]:
    listener = made(held=held)
    assert listener is not None
    listener.start()
    try:
        yield listener.port
    finally:
        await listener.stop()


async def answer(port: int, line: str, *headers: str) -> tuple[str, bytes]:
    """Returns the head in lower case, and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join((f"{line} HTTP/1.0", *headers, "", "")).encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head.decode().lower(), body


async def test_other_paths_and_methods_are_refused_in_a_line_of_text() -> None:
    async with listening() as port:
        for path in ("/", "/other", "/metrics/other", "/metrics/"):
            head, body = await answer(port, f"GET {path}")
            assert head.startswith("http/1.0 404")
            assert "content-type: text/plain" in head
            assert body == b"The metrics are at /metrics.\n"
        for method in ("POST", "OPTIONS", "STRANGE"):
            head, body = await answer(port, f"{method} /metrics")
            assert head.startswith("http/1.0 405")
            assert "allow: get, head" in head
            assert b"<" not in body
        assert (await answer(port, "HEAD /other"))[1] == b""


async def test_a_scraper_that_asks_for_gzip_gets_it() -> None:
    async with listening() as port:
        head, body = await answer(port, "GET /metrics", "Accept-Encoding: gzip")
        assert "content-encoding: gzip" in head
        assert b"innkeeper_answer 42.0" in gzip.decompress(body)
        assert b"innkeeper_answer 42.0" in (await answer(port, "GET /metrics"))[1]


@pytest.mark.parametrize(
    "sent", ["", "GET /metrics HTTP/1.1\r\nHost:", "POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\n"]
)
async def test_a_client_that_completes_no_request_is_cut_off(sent: str) -> None:
    async with listening() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent.encode())
        assert b"42" in (await answer(port, "GET /metrics"))[1], "others are served meanwhile"
        await advance(metrics_site.IDLE_S + 1)
        async with asyncio.timeout(60):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        writer.close()


async def test_idle_connections_make_room_for_a_scraper() -> None:
    async with listening() as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(metrics_site.LIMITS.for_proxies)]
        assert b"42" in (await answer(port, "GET /metrics"))[1]
        async with asyncio.timeout(60):
            with pytest.raises(ConnectionResetError):  # the oldest has ended
                await idle[0][0].read()
        for _, writer in idle:
            writer.close()


async def test_scrapes_beyond_the_limit_are_rejected() -> None:
    held, limit = asyncio.Event(), metrics_site.LIMITS.for_proxies
    async with listening(held=held) as port:
        scrapes = [asyncio.create_task(answer(port, "GET /metrics")) for _ in range(limit + 3)]
        await eventually(lambda: sum(scrape.done() for scrape in scrapes) == 3)
        held.set()
        results = await asyncio.gather(*scrapes, return_exceptions=True)
    answered = [one for one in results if not isinstance(one, BaseException) and b"42" in one[1]]
    assert len(answered) == limit


async def test_a_stop_ends_scrapes_that_wait() -> None:
    listener = made(held=asyncio.Event())
    assert listener is not None
    listener.start()
    scrape = asyncio.create_task(answer(listener.port, "GET /metrics"))
    await eventually(lambda: any(task.get_name().startswith("answer") for task in asyncio.all_tasks()))
    await listener.stop()
    async with asyncio.timeout(60):
        await asyncio.gather(scrape, return_exceptions=True)
    await eventually(lambda: not any(task.get_name().startswith("answer") for task in asyncio.all_tasks()))
    await listener.stop()


def test_without_an_address_there_is_no_listener() -> None:
    assert made("") is None


async def test_a_port_in_use_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listener = made(port=port)
        assert listener is not None
        with pytest.raises(BadSettings, match=rf"127\.0\.0\.1:{port} for metrics.* Set metrics_host and metrics_port"):
            listener.start()
