"""Concurrent clients that compose, switch, cancel and delete while processes are killed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define, field

from common.errors import InnkeeperError
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment

RequestKind = Callable[[random.Random], Awaitable[None]]


@define(kw_only=True)
class Load:
    """Runs `clients` tasks, each of which sends one request after the other until it is cancelled.

    `done` counts the requests that succeeded. Error responses and lost connections are expected, except status 500,
    which is recorded in `bugs`. `has_ended` is set when the tasks have ended.
    """

    deployment: Deployment
    host_ids: list[int]
    clients: int = 20
    seed: int = 0
    done: int = 0
    has_ended: bool = False
    answers: Counter[str] = field(factory=Counter)
    bugs: list[str] = field(factory=list)

    @property
    def kinds(self) -> dict[RequestKind, int]:
        """The requests and their relative frequencies."""
        return {self._compose: 8, self._delete: 5, self._power: 3, self._cancel: 2, self._refresh: 1}

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self.clients):
                    chance = random.Random(self.seed * 1000 + number)  # noqa: S311  # repeatable, no secret
                    group.create_task(self._client(chance))
        finally:
            self.has_ended = True

    def has_done(self, number: int) -> bool:
        """True also when the tasks have ended, so that a wait for it ends."""
        return self.done >= number or self.has_ended

    async def _client(self, chance: random.Random) -> None:
        kinds, weights = zip(*self.kinds.items(), strict=True)
        while True:
            request = chance.choices(kinds, weights=weights)[0]
            try:
                await request(chance)
            except InnkeeperError as error:
                status = error.details.get("status")
                self.answers[f"{request.__name__} {status or error.code}"] += 1
                if status == 500:
                    self.bugs.append(f"{request.__name__}: {error}")
                if status is None or status == 503:
                    await asyncio.sleep(0.2)  # the region is down
            else:
                self.answers[f"{request.__name__} done"] += 1
                self.done += 1

    async def _compose(self, chance: random.Random) -> None:
        fields = {
            "cores": str(chance.randint(1, 4)),
            "memory": str(1024 * chance.randint(1, 4)),
            "storage": chance.choice(("root:4", "root:4,data:8")),
        }
        await self._send("POST", f"vm-hosts/{chance.choice(self.host_ids)}/", chance, op="compose", **fields)

    async def _delete(self, chance: random.Random) -> None:
        if system_id := await self._some_machine(chance):
            await self._send("DELETE", f"machines/{system_id}/", chance)

    async def _power(self, chance: random.Random) -> None:
        if system_id := await self._some_machine(chance):
            op = chance.choice(("power_on", "power_off"))
            await self._send("POST", f"machines/{system_id}/", chance, op=op)

    async def _cancel(self, chance: random.Random) -> None:
        operations = (await self.deployment.api.get("operations/", deadline_s=20.0)).json()
        cancellable = [one["id"] for one in operations if one["state"] in ("queued", "running", "waiting")]
        if cancellable:
            await self._send("POST", f"operations/{chance.choice(cancellable)}/", chance, op="cancel")

    async def _refresh(self, chance: random.Random) -> None:
        await self._send("POST", f"vm-hosts/{chance.choice(self.host_ids)}/", chance, op="refresh")

    async def _some_machine(self, chance: random.Random) -> str | None:
        machines = (await self.deployment.api.get("machines/", deadline_s=20.0)).json()
        return str(chance.choice(machines)["system_id"]) if machines else None

    async def _send(
        self, method: Any, path: str, chance: random.Random, *, op: str | None = None, **fields: str
    ) -> None:
        """Half of the requests wait for the result, with a short deadline."""
        waits = chance.random() < 0.5
        await self.deployment.send(
            method, path, op=op, fields=fields, headers={} if waits else ASYNC,
            deadline_s=chance.uniform(0.2, 8.0) if waits else 20.0,
        )  # fmt: skip
