"""A real collector shows one trace of a compose: HTTP request, operation, RPC, driver and database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.clients.otlp_collector import CollectedSpan, Collector, collector
from tests.deployment.deployment import Deployment
from tests.deployment.processes import as_processes
from tests.deployment.runner import REGION
from tests.support.waiting import eventually

POST = "POST VmHostHandler.compose"


@pytest.fixture
def collected(tmp_path: Path) -> Iterator[Collector]:
    with collector(tmp_path) as running:
        yield running


@asynccontextmanager
async def traced(folder: Path, server_folder: Path, **settings: str) -> AsyncIterator[Deployment]:
    """A region and a rack as processes, with these settings."""
    made = as_processes(folder, server_folder, settings=settings)
    made.processes.start_postgres()
    try:
        await made.start_region_and_rack()
        yield made
    finally:
        made.processes.kill_all()


def chain(spans: list[CollectedSpan], of: CollectedSpan) -> list[str]:
    """The names of the span and those above it, the lowest first."""
    by_id = {one.span_id: one for one in spans}
    names = [f"{of.service} {of.name}"]
    while of.parent_id:
        of = by_id[of.parent_id]
        names.append(f"{of.service} {of.name}")
    return names


async def test_a_compose_is_one_trace(tmp_path: Path, server_folder: Path, collected: Collector) -> None:
    headers = tmp_path / "headers"
    headers.write_text("Authorization: Bearer s3cret\n")
    settings = {"traces_endpoint": collected.url, "traces_headers": str(headers)}
    async with traced(tmp_path, server_folder, **settings) as deployment:
        host = await deployment.add_simulated("farm")
        await deployment.compose(host["id"], cores=1, memory=1024, hostname="unmistakable")
        spans = await eventually(lambda: compose_trace(collected))
    names = {f"{one.service} {one.name}": one for one in spans}
    assert chain(spans, names["rackd simulated: compose"]) == [
        "rackd simulated: compose",
        "rackd host.compose",
        "regiond host.compose",
        "regiond compose_on_host",
        "regiond operation compose",
        f"regiond {POST}",
    ]
    assert chain(spans, names["regiond delete claim"])[1:] == ["regiond operation compose", f"regiond {POST}"]
    assert chain(spans, names["regiond select quota"])[1:] == ["regiond reserve machines", f"regiond {POST}"]
    kinds = {name: one.kind for name, one in names.items()}
    assert kinds[f"regiond {POST}"] == kinds["rackd host.compose"] == "SERVER"
    assert (
        kinds["regiond host.compose"] == kinds["rackd simulated: compose"] == kinds["regiond delete claim"] == "CLIENT"
    )
    root = names[f"regiond {POST}"]
    assert root.attributes["http.response.status_code"] == "200"
    assert (
        names["regiond operation compose"].attributes["innkeeper.request_id"] == root.attributes["innkeeper.request_id"]
    )
    assert names["regiond operation compose"].attributes["innkeeper.operation.state"] == "succeeded"
    assert "unmistakable" not in collected.output.read_text(), "no value of a statement or a request"


async def test_a_later_attempt_links_to_its_request(tmp_path: Path, server_folder: Path, collected: Collector) -> None:
    async with traced(tmp_path, server_folder, traces_endpoint=collected.url) as deployment:
        host = await deployment.add_simulated("farm")
        with deployment.held("create volume", name="farm"):
            operation_id = await deployment.begin_compose(host["id"], cores=1, memory=1024)
            await eventually(lambda: compose_requests(collected))
            deployment.kill(REGION)
            await deployment.restart(REGION)
        await deployment.ended(operation_id)
        await eventually(lambda: attempts(collected))
    (request,) = compose_requests(collected)
    later = attempts(collected)
    assert {one.attributes["innkeeper.operation.id"] for one in later} == {str(operation_id)}
    assert all(one.trace_id != request.trace_id and not one.parent_id for one in later)
    assert all(request.trace_id in one.text and request.span_id in one.text for one in later), "linked"


def compose_requests(collected: Collector) -> list[CollectedSpan]:
    return [one for one in collected.spans() if one.name == POST]


def compose_trace(collected: Collector) -> list[CollectedSpan]:
    """The spans of the only compose, once those of both daemons have arrived."""
    requests = compose_requests(collected)
    spans = collected.trace(requests[0].trace_id) if requests else []
    complete = {"rackd host.compose", "regiond operation compose", "rackd simulated: compose"}
    return spans if complete <= {f"{one.service} {one.name}" for one in spans} else []


def attempts(collected: Collector) -> list[CollectedSpan]:
    """The attempts at the only compose, in their order."""
    found = [one for one in collected.spans() if one.name == "operation compose"]
    return sorted(found, key=lambda one: int(one.attributes["innkeeper.operation.attempt"]))
