"""Acts on many VMs: as one task, or with an endpoint of the API for each, where one failure stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from attrs import frozen

from common.errors import InnkeeperError
from regiond.api.resources.machines.machines import MACHINE, MACHINES
from regiond.machines.values.bulk import BulkAction as Task
from regiond.machines.values.model import MachineView
from regiond.ui.machines.bulk.bulk_actions import BulkAction
from regiond.ui.machines.details import tagging
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import text

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

AT_ONCE = 8


@frozen(kw_only=True)
class Outcome:
    """The outcome for one VM; `error` is why it was refused."""

    machine: MachineView
    error: str = ""


async def start(
    visit: Visit,
    task: Task,
    machines: Iterable[MachineView],
    *,
    at_once: str,
    once: str,
    options: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Returns the task as the API's JSON. `once` makes a repeat of the same request return that of the first.

    `options` are more fields of the API.
    """
    fields = {**_fields(task, machines), **options, "at_once": at_once or None}
    operation: Mapping[str, Any] = await visit.act(
        MACHINES, "POST", "bulk", fields=fields, idempotency_key=once or None
    )
    return operation


async def plan(
    visit: Visit, task: Task, machines: Iterable[MachineView], options: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Returns what the task would change, delete and keep. Raises InvalidRequest for the options."""
    answer: Mapping[str, Any] = await visit.act(
        MACHINES, "POST", "bulk", fields={**_fields(task, machines), **options, "dry_run": "true"}
    )
    return answer


def _fields(task: Task, machines: Iterable[MachineView]) -> dict[str, Any]:
    return {"action": task.value, "machines": [machine.system_id for machine in machines]}


async def tag(
    visit: Visit, machines: Iterable[MachineView], *, add: Sequence[str], remove: Sequence[str]
) -> list[Outcome]:
    """Returns the outcomes, in the order of the machines. Raises InvalidRequest, with nothing changed, for a bad name.

    One request for each tag changes all machines, so that none is left halfway.
    """
    machines = list(machines)
    await tagging.change(visit, [one.system_id for one in machines], add=add, remove=remove)
    return [Outcome(machine=one) for one in machines]


async def run(
    visit: Visit, action: BulkAction, machines: Iterable[MachineView], fields: Mapping[str, Any]
) -> list[Outcome]:
    """In the order of the machines, a few at a time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(machine: MachineView) -> Outcome:
        async with free:
            try:
                path = {"system_id": machine.system_id}
                await visit.act(MACHINE, action.method, action.op, path=path, fields=fields)
                return Outcome(machine=machine)
            except InnkeeperError as error:
                return Outcome(machine=machine, error=error.message)
            except Exception:  # the boundary of one VM: the others must not suffer from a bug
                log.exception("bulk_action_crashed", system_id=machine.system_id)
                return Outcome(
                    machine=machine, error=text("Something in Innkeeper went wrong; its log has the details.")
                )

    return await asyncio.gather(*(one(machine) for machine in machines))
