"""Composes several VMs of the same kind: each with a request, a task and an idempotency key of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError
from regiond.api.resources.hosts.vm_hosts import HOSTS
from regiond.ui.page import Visit

AT_ONCE = 8


@frozen(kw_only=True)
class Outcome:
    """The outcome for one VM: its task, or why it was refused. `name` is empty if it gets one by itself."""

    name: str
    task_id: int | None = None
    error: InnkeeperError | None = None


async def compose_several(
    visit: Visit, fields: Mapping[str, Any], *, names: Sequence[str], count: int, once: str
) -> list[Outcome]:
    """In the order of the VMs, a few at a time. `once` makes a repeat of the request compose none of them again."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Outcome:
        name = names[number] if names else ""
        key = f"{once}-{number}" if once else None
        async with free:
            try:
                operation = await visit.act(
                    HOSTS, "POST", "compose", fields={**fields, "hostname": name or None}, idempotency_key=key
                )
            except InnkeeperError as error:
                return Outcome(name=name, error=error)
            return Outcome(name=name, task_id=operation["id"])

    return await asyncio.gather(*(one(number) for number in range(count)))
