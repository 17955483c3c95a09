"""Runs an endpoint of the API for each of many VMs: a few at a time, and one failure stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import structlog
from attrs import frozen

from common.errors import InnkeeperError
from regiond.api.resources.machines import MACHINE
from regiond.machines.model import MachineView
from regiond.ui.machines.bulk_actions import BulkAction
from regiond.ui.page import Visit

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

AT_ONCE = 8


@frozen(kw_only=True)
class Outcome:
    """What became of one VM: an answer of the API, or why it was refused."""

    machine: MachineView
    answer: Any = None
    error: str = ""

    @property
    def task_id(self) -> int | None:
        """The task that the answer is, if it began one."""
        answer = self.answer
        return answer["id"] if isinstance(answer, dict) and "kind" in answer and "id" in answer else None


async def run(
    visit: Visit, action: BulkAction, machines: Iterable[MachineView], fields: Mapping[str, Any], *, once: str
) -> list[Outcome]:
    """`once` makes a repeat of the same request return the tasks of the first."""

    async def act(machine: MachineView) -> Any:
        path = {"system_id": machine.system_id}
        key = f"{once}-{machine.system_id}" if once else None
        return await visit.act(
            MACHINE, action.method, action.op, path=path, fields={**action.fields, **fields}, idempotency_key=key
        )

    return await _each(machines, act)


async def plans(visit: Visit, action: BulkAction, machines: Iterable[MachineView]) -> list[Outcome]:
    """What the action would delete and keep of each VM."""

    async def plan(machine: MachineView) -> Any:
        path, fields = {"system_id": machine.system_id}, {**action.fields, "dry_run": "true"}
        return await visit.act(MACHINE, action.method, action.op, path=path, fields=fields)

    return await _each(machines, plan)


async def _each(machines: Iterable[MachineView], act: Callable[[MachineView], Awaitable[Any]]) -> list[Outcome]:
    """In the order of the machines."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(machine: MachineView) -> Outcome:
        async with free:
            try:
                return Outcome(machine=machine, answer=await act(machine))
            except InnkeeperError as error:
                return Outcome(machine=machine, error=error.message)
            except Exception:  # the boundary of one VM: the others must not suffer from a bug
                log.exception("bulk_action_crashed", system_id=machine.system_id)
                return Outcome(machine=machine, error="Something in Innkeeper went wrong; its log has the details.")

    return await asyncio.gather(*(one(machine) for machine in machines))
