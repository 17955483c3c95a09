"""Clients that compose one VM after the other, and repeat each request with its key until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from attrs import define, field

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

REPEATED = (None, 409, 502, 503, 504)


@define
class ComposingClients:
    """`answered` has the system ids of the VMs by their names."""

    deployment: Deployment
    host_ids: Sequence[int]
    clients: int = field(default=4, kw_only=True)
    deadline_s: float | None = field(default=None, kw_only=True)
    answered: dict[str, str] = field(factory=dict, init=False)
    _is_over: bool = field(default=False, init=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ComposingClients]:
        """Ends when the last request of each client is answered."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.clients):
                group.create_task(self._client(number))
            yield self
            self._is_over = True

    async def more(self, number: int) -> None:
        """Returns when so many further requests, which may have begun before, are answered."""
        before = len(self.answered)
        await eventually(lambda: len(self.answered) >= before + number)

    async def _client(self, number: int) -> None:
        count = 0
        while not self._is_over:
            name = f"vm-{number}-{count}"
            self.answered[name] = await self._composed(self.host_ids[count % len(self.host_ids)], name)
            count += 1

    async def _composed(self, host_id: int, name: str) -> str:
        while True:
            try:
                answer = await self.deployment.send(
                    "POST", f"vm-hosts/{host_id}/", op="compose", headers={"Idempotency-Key": name},
                    fields={"cores": 1, "memory": 1024, "hostname": name, "storage": "root:1"},
                    deadline_s=self.deadline_s,
                )  # fmt: skip
            except InnkeeperError as error:
                if error.details.get("status") not in REPEATED:
                    raise
                await asyncio.sleep(0.1)
            else:
                return str(answer.json()["system_id"])
