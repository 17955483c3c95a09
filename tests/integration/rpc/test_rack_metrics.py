"""What Prometheus reads from a rack."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from prometheus_client.samples import Sample

from tests.deployment.in_process import deployed
from tests.deployment.runner import RACK
from tests.integration.support.scrapes import samples_of, value
from tests.support.waiting import eventually

BUSY = "innkeeper_driver_calls_running"


async def test_a_scrape_counts_the_calls_of_a_compose(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, metrics_host="127.0.0.1", metrics_port=0) as region:
        await region.start_rack()
        host = await region.add_simulated("elm")
        rack = region.in_process.racks[RACK].service

        async def is_busy() -> list[Sample] | None:
            samples = await samples_of(rack.metrics_port)
            return samples if value(samples, BUSY, call_class="ordered") else None

        with region.held("version", name="elm"):
            composing = asyncio.create_task(region.compose(host["id"], cores=1, memory=1024))
            busy = await eventually(is_busy)
        await composing
        samples = await samples_of(rack.metrics_port)
    assert value(busy, "innkeeper_rpc_requests_in_progress", command="host.compose") == 1
    assert value(samples, "innkeeper_rpc_requests_in_progress", command="host.compose") == 0
    assert value(samples, "innkeeper_rpc_requests_total", command="host.compose", outcome="ok") == 1
    assert value(samples, "innkeeper_rpc_request_duration_seconds_count", command="host.compose") == 1
    composes = {"driver": "simulated", "call": "compose"}
    assert value(samples, "innkeeper_driver_calls_total", outcome="ok", **composes) == 1
    assert value(samples, "innkeeper_driver_call_duration_seconds_count", **composes) == 1
    assert value(samples, BUSY, call_class="ordered") == 0
    assert value(samples, "innkeeper_driver_hosts_open", driver="simulated") == 1
    assert value(samples, "innkeeper_driver_hosts_open", driver="lxd") == 0
    assert value(samples, "innkeeper_driver_calls_abandoned") == 0
    assert value(samples, "innkeeper_driver_calls_limit") == 200
    assert value(samples, "innkeeper_build_info", program="rackd") == 1
    assert value(samples, "innkeeper_rpc_links", role="region") == value(samples, "innkeeper_rack_regions") == 1
    assert (value(samples, "innkeeper_certificate_expiry_timestamp_seconds", purpose="rack") or 0) > time.time() + 86400
    texts = {text for one in samples for text in one.labels.values()}
    assert not [text for text in texts if "elm" in text], "names of hosts are not bounded"
