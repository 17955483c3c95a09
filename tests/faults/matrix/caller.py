"""Somebody who asks, asks again with the same key when there was no answer, and follows the operation to its end."""

from __future__ import annotations

import asyncio
from typing import Any

from common.errors import InnkeeperError
from innkeeper.http import relative_path
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.scenario import Asked, Scenario, Told
from tests.waiting import eventually

ASYNC = "respond-async"
AGAIN = (None, 503, 504)  # None: nobody answered
PAUSE_S = 0.02
_HAS_ENDED = "select finished_at is not null from operation where id = $1"
ENDED = ("succeeded", "failed", "cancelled")


def headers(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key, "Prefer": ASYNC}


def asked(answer: Any) -> Asked:
    """Of an `innkeeper.http.Answer`: a 202 says where the operation is."""
    told = answer.json() if answer.body and answer.is_json else None
    if answer.status == 202 and answer.location:
        return Asked(operation_id=int(relative_path(answer.location).strip("/").split("/")[-1]), answer=told)
    return Asked(answer=told)


async def ask_until_told(inn: Inn, scenario: Scenario, ground: Any, key: str) -> Told:
    """Goes on until there is an answer: the caller of this sets the time."""
    times = 0
    while True:
        times += 1
        try:
            found = await scenario.ask(inn, ground, key)
        except InnkeeperError as error:
            if error.details.get("status") not in AGAIN:
                return Told(state="refused", refusal=error, asked=times)
            await asyncio.sleep(PAUSE_S)
            continue
        if found.operation_id is None:
            return Told(state="answered", answer=found.answer, asked=times)
        operation = await _ended(inn, found.operation_id)
        return Told(state=operation["state"], operation=operation, answer=found.answer, asked=times)


async def _ended(inn: Inn, operation_id: int) -> Any:
    """What the API says of it, once it has ended: when to ask is seen in the database, which costs less than asking."""
    await eventually(lambda: inn.db.fetchval(_HAS_ENDED, operation_id))
    while True:
        try:
            operation = await inn.installed.get(f"operations/{operation_id}/")
        except InnkeeperError as error:
            if error.details.get("status") not in AGAIN:
                raise
        else:
            if operation["state"] in ENDED:
                return operation
        await asyncio.sleep(PAUSE_S)
