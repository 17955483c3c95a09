"""A build with one more migration, a load balancer for two regions, and clients that count failed requests."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import define, field

from common.errors import InnkeeperError
from innkeeper.answer import Answer
from innkeeper.api_description import Method
from innkeeper.http import Api, api_url
from regiond.db.migration_files import Migration
from tests.deployment.api_calls import ASYNC, form
from tests.pages.blocks import example

CHECKOUT = Path(__file__).resolve().parents[3]
PACKAGES = ("common", "regiond", "rackd", "innkeeper")
_CONFIGURATION = """
global
    log stdout format raw local0 notice
defaults
    mode http
    timeout client 330s
    timeout connect 5s
    timeout check 5s
    timeout server 330s
    log global
frontend innkeeper
    bind 127.0.0.1:{port}
    default_backend innkeeper-regions
"""
_MORE_FREQUENT = {"inter 2s": "inter 300ms"}
_SERVERS = ("192.0.2.11:5240", "192.0.2.12:5240")


def newer_build(folder: Path, one: Migration) -> Path:
    """Returns a folder with the packages of this checkout and one more migration."""
    for name in PACKAGES:
        shutil.copytree(CHECKOUT / name, folder / name)
    (folder / "regiond/db/migrations" / one.name).write_text(one.sql, encoding="utf-8")
    return folder


@contextmanager
def load_balancer(folder: Path, *, port: int, regions: Iterable[int]) -> Iterator[None]:
    """HAProxy with the backend of docs/how-to/health.md, with more frequent checks."""
    servers = {of_page: f"127.0.0.1:{own}" for of_page, own in zip(_SERVERS, regions, strict=True)}
    backend = example("docs/how-to/health.md", "haproxy", _MORE_FREQUENT | servers)
    file = folder / "haproxy.cfg"
    file.write_text(_CONFIGURATION.format(port=port) + backend, encoding="utf-8")
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(["haproxy", "-db", "-f", str(file)], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


@define(kw_only=True)
class Clients:
    """Composes, power changes, deletions, reads and event requests, each repeated by `Retry-After` if it fails.

    `first` counts the errors of first attempts, `final` those without a `Retry-After` or after too many of them.
    """

    url: str
    key: str
    host_ids: list[int]
    sent: int = 0
    first: Counter[str] = field(factory=Counter)
    final: Counter[str] = field(factory=Counter)
    accepted: list[int] = field(factory=list)
    is_ending: bool = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for host in self.host_ids:
                group.create_task(self._repeat(self._life_of_a_machine, host))
            group.create_task(self._repeat(self._background_compose, self.host_ids[0]))
            for path, op in (("machines/", None), ("vm-hosts/", None), ("operations/", None), ("events/", "query")):
                group.create_task(self._repeat(self._read, path, op))

    async def _repeat(self, work: Any, *arguments: Any) -> None:
        while not self.is_ending:
            await work(*arguments)

    async def _life_of_a_machine(self, host: int) -> None:
        composed = await self._request("POST", f"vm-hosts/{host}/", op="compose", fields=_SIZE)
        if composed is None:
            return
        path = f"machines/{composed.json()['system_id']}/"
        await self._request("POST", path, op="power_on")
        await self._request("GET", path)
        await self._request("DELETE", path)

    async def _read(self, path: str, op: str | None) -> None:
        await self._request("GET", path, op=op)

    async def _background_compose(self, host: int) -> None:
        answer = await self._request("POST", f"vm-hosts/{host}/", op="compose", fields=_SIZE, headers=ASYNC)
        if answer is None:
            return
        number = answer.json()["id"]
        self.accepted.append(number)
        while not self.is_ending:
            read = await self._request("GET", f"operations/{number}/")
            if read is not None and read.json()["state"] in ("succeeded", "failed", "cancelled"):
                return
            await asyncio.sleep(0.1)

    async def _request(
        self, method: Method, path: str, *, op: str | None = None, fields: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer | None:  # fmt: skip
        self.sent += 1
        own = dict(headers or {})
        if method != "GET":
            own["Idempotency-Key"] = uuid4().hex
        for attempt in range(20):
            api = Api(api_url(self.url), self.key)
            try:
                return await api.send(
                    method, path, query=[("op", op)] if op else [], body=form(fields) if fields else None, headers=own
                )
            except InnkeeperError as error:
                words = f"{method} {path.split('/', 1)[0]} {op or ''}: {error.details.get('status')} {error.message}"
                if attempt == 0:
                    self.first[words[:200]] += 1
                pause_s = error.details.get("retry_after_s")
                if pause_s is None or attempt == 19:
                    self.final[words[:200]] += 1
                    return None
                await asyncio.sleep(float(pause_s))
        return None


_SIZE = {"cores": "1", "memory": "1024", "storage": "root:1"}
