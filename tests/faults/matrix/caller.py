"""A caller that repeats a request with the same key until it is answered, and follows the operation to its end."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from common.errors import InnkeeperError
from tests.deployment.deployment import ENDED
from tests.faults.matrix.site import MatrixSite
from tests.faults.scenarios.scenario import REPEATED, Outcome, Scenario
from tests.support.waiting import eventually

PAUSE_S = 0.02
_HAS_FOLLOWED = """
    select true from operation first join operation o on o.system_id = first.system_id and o.id > first.id
     where first.id = $1 and o.kind = $2 and not o.is_open
"""
_HAS_ENDED = "select finished_at is not null from operation where id = $1"


async def outcome_of(site: MatrixSite, scenario: Scenario, state: Any, key: str) -> Outcome:
    """Has no deadline of its own."""
    requests = 0
    while True:
        requests += 1
        try:
            response = await scenario.submit(site, state, key)
        except InnkeeperError as error:
            if error.details.get("status") not in REPEATED:
                return Outcome(state="rejected", error=error, requests=requests)
            await asyncio.sleep(PAUSE_S)
            continue
        if response.operation_id is None:
            return Outcome(state="answered", answer=response.answer, requests=requests)
        operation = await _ended(site, response.operation_id)
        if scenario.follows is not None:
            await eventually(partial(site.fetchval, _HAS_FOLLOWED, response.operation_id, scenario.follows.value))
        return Outcome(state=operation["state"], operation=operation, answer=response.answer, requests=requests)


async def _ended(site: MatrixSite, operation_id: int) -> Any:
    """The operation as the API returns it once it has ended; polls the database, which is cheaper than the API."""
    await eventually(lambda: site.fetchval(_HAS_ENDED, operation_id))
    while True:
        operation = await site.deployment.poll(f"operations/{operation_id}/")
        if operation is not None and operation["state"] in ENDED:
            return operation
        await asyncio.sleep(PAUSE_S)
