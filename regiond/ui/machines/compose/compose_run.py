"""Composes one VM or several of the same kind: each is a request, a task and an idempotency key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError
from regiond.api.resources.hosts.vm_hosts import HOSTS
from regiond.ui.rendering.page import Visit

AT_ONCE = 8


@frozen(kw_only=True)
class Outcome:
    """The outcome for one VM: its task, or why it was refused. `name` is empty if it gets one by itself.

    `system_id` is the VM that pages can show; None if the compose has just failed, so that nothing is left of it.
    """

    name: str = ""
    task_id: int | None = None
    system_id: str | None = None
    error: InnkeeperError | None = None


async def compose(visit: Visit, fields: Mapping[str, Any], *, once: str | None) -> Outcome:
    """Begins to compose a VM. If that fails later, the VM stays, so that its page can show the reason. Raises refusals.

    `once` makes a repeat of the request return the same task.
    """
    services = visit.services
    answer = await visit.act(HOSTS, "POST", "compose", fields=fields, idempotency_key=once)
    task = await services.operations.read(answer["id"], caller=visit.caller)
    stays = await services.machines.announce(task)
    return Outcome(task_id=task.id, system_id=task.system_id if stays else None)


async def compose_several(
    visit: Visit, fields: Mapping[str, Any], *, names: Sequence[str], count: int, once: str
) -> list[Outcome]:
    """In the order of the VMs, a few at a time. `once` makes a repeat of the request compose none of them again."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Outcome:
        name = names[number] if names else ""
        async with free:
            try:
                return await compose(
                    visit, {**fields, "hostname": name or None}, once=f"{once}-{number}" if once else None
                )
            except InnkeeperError as error:
                return Outcome(name=name, error=error)

    return await asyncio.gather(*(one(number) for number in range(count)))
