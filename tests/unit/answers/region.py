"""Answers of the services of operations, events, discrepancies, racks and RPC clients."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any
from uuid import UUID

from common.errors import NotFound
from regiond.events.model import EventBatch
from regiond.racks.model import RackOfHost
from tests.unit.answers.shared import DELETION_PLAN, named
from tests.unit.support.api_samples import (
    AT,
    EVENT,
    OPEN_DISCREPANCY,
    RACK,
    RACK_ID,
    REGION,
    REPAIRED_DISCREPANCY,
    RPC_CLIENT,
)
from tests.unit.support.machine_samples import LOG, OPERATION


async def _batches() -> AsyncGenerator[EventBatch, None]:
    yield EventBatch(events=(EVENT,), position=9)


ANSWERS: Mapping[str, Any] = {
    "operations.list": (OPERATION,),
    "operations.count": 5,
    "operations.read": lambda operation_id: OPERATION if operation_id == 77 else NotFound("Not Found"),
    "operations.log": LOG,
    "operations.wait_reason": None,
    "operations.wait": OPERATION,
    "operations.cancel": OPERATION,
    "operations.cancel_plan": DELETION_PLAN,
    "operations.abandon": OPERATION,
    "operations.abandon_plan": DELETION_PLAN,
    "events.list": (EVENT,),
    "event_streams.open": lambda *_: (EventBatch(position=8), _batches()),
    "reconciler.check": (OPEN_DISCREPANCY,),
    "reconciler.recent_repairs": (REPAIRED_DISCREPANCY,),
    "reconciler.read_stored": lambda discrepancy_id: OPEN_DISCREPANCY if discrepancy_id == 3 else NotFound("Not Found"),
    "reconciler.read": OPEN_DISCREPANCY,
    "reconciler.approval_plan": DELETION_PLAN,
    "reconciler.approve": REPAIRED_DISCREPANCY,
    "racks.list": (RACK,),
    "racks.regions": (REGION,),
    "racks.read": named({RACK_ID: RACK}),
    "racks.of_host": (
        RackOfHost(id=UUID(RACK_ID), name="rack-a", connected=True, reaches=True, since=AT),
        RackOfHost(
            id=UUID(int=9),
            name="rack-b",
            connected=False,
            reaches=False,
            error_code="host_unreachable",
            error_message="connection refused by 10.0.0.9",
            since=AT,
        ),
    ),
    "racks.update": RACK,
    "racks.report_stolen": RACK,
    "racks.remove": DELETION_PLAN,
    "racks.create_token": "innkeeper-token",
    "rpc_clients.issue": ("certificate", "key", "authority"),
    "rpc_clients.list": (RPC_CLIENT,),
    "rpc_clients.revoke": DELETION_PLAN,
}
