"""A well-behaved client: reads, and composes and deletes machines, at a steady rate from its own address."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlencode

from attrs import define, field, frozen

from tests.abuse.http_wire import Answer, exchange, request
from tests.abuse.latencies import Latencies

ADDRESS = "127.0.0.2"
DEADLINE_S = 30.0
MAX_OPEN = 100  # requests; the region closes an address's connections beyond 200
READ, COMPOSE, DELETE = "read", "compose", "delete"
PREFIX = "good-"  # of the names of its machines
_PATHS = ("machines/?limit=20", "vm-hosts/{host}/", "operations/?limit=20", "zones/")


@frozen(kw_only=True)
class Sample:
    """One request. `took_ms` counts from the moment at which it was due, so that a late start counts too."""

    phase: str
    kind: str
    took_ms: float
    problem: str | None


@define(kw_only=True)
class GoodClient:
    """`phase` is recorded with each request that begins."""

    port: int
    key: str = field(repr=False)
    host_ids: Sequence[int]
    reads_per_s: float = 25.0
    composes_per_s: float = 2.0
    phase: str = ""
    samples: list[Sample] = field(factory=list)
    _stopped: bool = False
    _numbers: itertools.count[int] = field(factory=itertools.count)
    _open: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(MAX_OPEN))

    async def run(self) -> None:
        """Sends requests until `stop`, and waits for their answers. A slow one delays no other while few are open."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._steadily(group, self.reads_per_s, self._read))
            group.create_task(self._steadily(group, self.composes_per_s, self._compose))

    def stop(self) -> None:
        self._stopped = True

    def latencies(self, kind: str, phase: str) -> Latencies:
        return Latencies.of(one.took_ms for one in self.samples if (one.kind, one.phase) == (kind, phase))

    def problems(self, phase: str) -> list[str]:
        """Requests without success."""
        return [f"{one.kind}: {one.problem}" for one in self.samples if one.phase == phase and one.problem]

    async def _steadily(
        self, group: asyncio.TaskGroup, per_s: float, work: Callable[[float, str], Awaitable[None]]
    ) -> None:
        loop = asyncio.get_running_loop()
        due_at = loop.time()
        while not self._stopped:
            await asyncio.sleep(due_at - loop.time())
            group.create_task(work(due_at, self.phase))  # type: ignore[arg-type]  # all are coroutines
            due_at += 1 / per_s

    async def _read(self, due_at: float, phase: str) -> None:
        number = next(self._numbers)
        path = _PATHS[number % len(_PATHS)].format(host=self.host_ids[number % len(self.host_ids)])
        await self._send(READ, phase, due_at, "GET", path)

    async def _compose(self, due_at: float, phase: str) -> None:
        number = next(self._numbers)
        body = urlencode({"cores": 1, "memory": 1024, "hostname": f"{PREFIX}{number}"}).encode()
        path = f"vm-hosts/{self.host_ids[number % len(self.host_ids)]}/?op=compose"
        answer = await self._send(COMPOSE, phase, due_at, "POST", path, body)
        if answer is not None:
            now = asyncio.get_running_loop().time()
            await self._send(DELETE, phase, now, "DELETE", f"machines/{answer.json()['system_id']}/")

    async def _send(
        self, kind: str, phase: str, due_at: float, method: str, path: str, body: bytes = b""
    ) -> Answer | None:
        """The answer if it is a success."""
        data = request(method, path, key=self.key, body=body)
        problem: str | None = None
        answer = None
        try:
            async with self._open:
                answer = await exchange(self.port, data, address=ADDRESS, deadline_s=DEADLINE_S)
        except TimeoutError:
            problem = f"no answer within {DEADLINE_S:g} s"
        if answer is not None and not answer.status.startswith("2"):
            problem = f"{answer.status} {answer.body[:200].decode('utf-8', 'replace')}"
        took_ms = (asyncio.get_running_loop().time() - due_at) * 1000
        self.samples.append(Sample(phase=phase, kind=kind, took_ms=took_ms, problem=problem))
        return answer if problem is None else None
