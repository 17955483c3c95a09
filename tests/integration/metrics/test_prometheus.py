"""A real Prometheus scrapes a region and a rack, and evaluates the alert rules and the queries of the dashboard."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import treq
import yaml

from common.process.deferreds import from_deferred
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.deployment.runner import RACK
from tests.integration.support.scrapes import answer
from tests.support.ports import free_port
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "monitoring"
GUIDE = ROOT / "docs/how-to/monitor.md"
RULES = "/etc/prometheus/innkeeper-alerts.yml"  # in the guide
COMPARISON = re.compile(r" (==|<=|>=|<|>) ")

pytestmark = pytest.mark.slow


async def promtool(*arguments: str, given: bytes = b"", folder: Path = MONITORING) -> str:
    """Returns what it prints. Fails unless it accepts the input."""
    program = await asyncio.create_subprocess_exec(
        "promtool", *arguments, cwd=folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(120):
        output, _ = await program.communicate(given)
    assert program.returncode == 0, output.decode()
    return output.decode()


async def test_the_alerts_fire_when_they_should() -> None:
    assert "SUCCESS" in await promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in await promtool("test", "rules", "alerts_test.yml")


def configuration(region_port: int, rack_port: int) -> str:
    """Returns the configuration of the guide for these ports. Everything happens every five seconds."""
    (block,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for shown, real in (
        ("127.0.0.1:5245", f"127.0.0.1:{region_port}"),
        ("127.0.0.1:5255", f"127.0.0.1:{rack_port}"),
        (RULES, str(MONITORING / "alerts.yml")),
    ):
        assert block.count(shown) == 1
        block = block.replace(shown, real)
    return f"global: {{scrape_interval: 5s, scrape_timeout: 5s, evaluation_interval: 5s}}\n{block}"


class Prometheus:
    """Its HTTP API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    async def get(self, path: str, **query: str) -> Any:
        response = await from_deferred(treq.get(f"{self._url}/{path}", params=query, persistent=False))
        text: bytes = await from_deferred(response.content())
        body: Any = json.loads(text)
        assert response.code == 200, (query, body)
        return body["data"]

    async def series(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("api/v1/query", query=query))["result"]
        return found

    async def is_ready(self) -> bool:
        try:
            response = await from_deferred(treq.get(f"{self._url}/-/ready", persistent=False))
        except Exception:  # noqa: BLE001  # it does not listen yet
            return False
        return bool(response.code == 200)


@asynccontextmanager
async def prometheus(folder: Path, settings: str) -> AsyncIterator[Prometheus]:
    port, file = free_port(), folder / "prometheus.yml"
    file.write_text(settings, encoding="utf-8")
    await promtool("check", "config", str(file))
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn", stdout=log, stderr=log,
        )  # fmt: skip
    found = Prometheus(port)
    try:
        await eventually(found.is_ready)
        yield found
    finally:
        process.terminate()
        await process.wait()


def queries() -> Iterator[tuple[str, str]]:
    """Returns the name and the query of every rule and panel. A rule's comparison gives 0 or 1 instead of no series."""
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            query, number = COMPARISON.subn(r" \1 bool ", rule["expr"])
            assert number == 1, rule["alert"]
            yield rule["alert"], query
    for panel in json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"].replace("$__rate_interval", "30s")
            for variable in ("$host_id", "$guest"):
                query = query.replace(variable, ".*")  # all of them are chosen
            yield panel["title"], query


async def metrics_ports(region: Deployment) -> tuple[int, int]:
    listener, rack = region.region.components.metrics_listener, region.in_process.racks[RACK].service
    assert listener is not None
    assert rack.metrics_port is not None
    return listener.port, rack.metrics_port


async def use(region: Deployment, host: dict[str, Any]) -> None:
    """Does what the queries count."""
    await region.compose(host["id"], cores=1, memory=1024, power_on="true")
    services = region.region.components.services
    await services.attention.note()
    await services.reconciler.check()


async def test_every_query_finds_series_of_a_deployment(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, metrics_host="127.0.0.1", metrics_port=0) as region:
        region.in_process.usage_interval_s = 1.0
        await region.start_rack()
        host = await region.add_simulated("elm")
        await use(region, host)
        ports = await metrics_ports(region)
        for port in ports:
            _, _, body = await answer(port)
            assert await promtool("check", "metrics", given=body) == ""
        with region.held("version", name="elm"):
            composing = asyncio.create_task(region.compose(host["id"], cores=1, memory=1024))
            async with prometheus(tmp_path, configuration(*ports)) as server:
                missing = dict(enumerate(queries()))

                async def all_have_series() -> bool:
                    for number, (_, query) in tuple(missing.items()):
                        if await server.series(query):
                            del missing[number]
                    return not missing

                with suppress(AssertionError):  # the one below names the queries
                    await eventually(all_have_series, every_s=1.0)
                groups = (await server.get("api/v1/rules"))["groups"]
                alerts = (await server.get("api/v1/alerts"))["alerts"]
        await composing
    assert list(missing.values()) == []
    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}
    assert not [one for one in alerts if "error expanding" in str(one["annotations"])]
