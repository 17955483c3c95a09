"""Deploys machines over the API and reads from the database what took how long."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from tests.bench.measuring import Times, timed
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

POWER_ON_S = 300.0
_TIMES = """
    select m.system_id, extract(epoch from d.booted_at)::float8 as on_at,
           extract(epoch from d.reported_at)::float8 as reported_at,
           extract(epoch from o.finished_at)::float8 as finished_at, o.error_message,
           (select extract(epoch from min(after.at) - max(copy.at))::float8
              from operation_log copy join operation_log after on after.operation_id = copy.operation_id
             where copy.operation_id = o.id and copy.step = 'copy_image' and after.step = 'new_secret') as copy_s
      from deployment d join operation o on o.id = d.operation_id join machine m on m.id = d.machine_id
     where m.system_id = any($1::text[])
"""


@frozen(kw_only=True)
class DeploymentTimes:
    """Seconds: from the request until the guest was powered on, of that for the copy, from its report until Deployed,
    and from the request until then. The last two are None if nobody waited for the report.
    """

    power_on_s: float
    copy_s: float
    report_s: float | None = None
    deployed_s: float | None = None

    @property
    def whole_s(self) -> float:
        """Without the copy and without the boot."""
        return self.power_on_s - self.copy_s + (self.report_s or 0.0)


async def deploy(innkeeper: Deployment, system_id: str, *, waits: bool) -> DeploymentTimes:
    """Deploys the machine. With `waits` returns when it is Deployed, otherwise when its guest was powered on.

    The clock of this process is that of the database.
    """
    began = time.time()
    await innkeeper.post(f"machines/{system_id}/", op="deploy")
    (found,) = await _ended(innkeeper, {system_id: began}, waits=waits)
    return found


async def deploy_many(innkeeper: Deployment, system_ids: Sequence[str], *, callers: int) -> tuple[Times, float]:
    """Deploys all of them at once. Returns the time of each request until Deployed, and the seconds of all together."""
    began: dict[str, float] = {}

    async def begin(number: int) -> None:
        began[system_ids[number]] = time.time()
        await innkeeper.post(f"machines/{system_ids[number]}/", op="deploy")

    await timed(begin, len(system_ids), callers=callers)
    found = await _ended(innkeeper, began, waits=True)
    wholes = [one.deployed_s or 0.0 for one in found]
    last = max(start + whole for start, whole in zip(began.values(), wholes, strict=True))
    return times_of(wholes), last - min(began.values())


async def _ended(innkeeper: Deployment, began: Mapping[str, float], *, waits: bool) -> list[DeploymentTimes]:
    """Waits for all, with one connection and few queries: the database runs on the same cores."""
    async with innkeeper.connection() as db:

        async def rows() -> list[Any] | None:
            found = await db.fetch(_TIMES, list(began))
            assert [row["error_message"] for row in found if row["error_message"]] == []
            done = all(row["finished_at" if waits else "on_at"] is not None for row in found)
            return found if done and len(found) == len(began) else None

        found = {row["system_id"]: row for row in await eventually(rows, deadline_s=POWER_ON_S, every_s=0.05)}
    return [_times(found[system_id], start, waits=waits) for system_id, start in began.items()]


def _times(row: Any, began: float, *, waits: bool) -> DeploymentTimes:
    return DeploymentTimes(
        power_on_s=row["on_at"] - began,
        copy_s=row["copy_s"] or 0.0,
        report_s=row["finished_at"] - row["reported_at"] if waits else None,
        deployed_s=row["finished_at"] - began if waits else None,
    )


async def end(innkeeper: Deployment, system_id: str, op: str) -> None:
    """Empties the root disk of the machine, by `abort` or `release`, so that it can be deployed again."""
    await innkeeper.post(f"machines/{system_id}/", op=op)

    async def is_over() -> bool:
        machine = await innkeeper.get(f"machines/{system_id}/")
        return machine["status_name"] in {"Allocated", "Ready"}

    await eventually(is_over, deadline_s=POWER_ON_S, every_s=0.05)


def times_of(seconds: Sequence[float]) -> Times:
    """As measured by `timed`, one after the other."""
    return Times(each_ms=tuple(sorted(1000 * one for one in seconds)), whole_s=sum(seconds), busy_s=0.0)
