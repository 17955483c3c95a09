"""Log lines of region and rack are joined by ids, from the HTTP request to the driver."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

ID = "ticket-4711.a"


def _named(lines: list[Any], event: str, **facts: object) -> list[Any]:
    return [one for one in lines if one["event"] == event and facts.items() <= one.items()]


async def test_one_id_joins_request_operation_call_and_driver(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    fields = {"cores": "1", "memory": "1024"}
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        await innkeeper.send(
            "POST", f"vm-hosts/{host['id']}/", op="compose", fields=fields, headers={"X-Request-Id": ID}
        )
        await eventually(lambda: bool(_named(lines, "operation_ended", request_id=ID)))
    [answered] = _named(lines, "request_answered", request_id=ID)
    assert answered["status"] == 200
    [ended] = _named(lines, "operation_ended", request_id=ID)
    ids = {"request_id": ID, "operation": ended["operation"], "attempt": 1}
    assert len(_named(lines, "operation_started", **ids, host_id=host["id"], kind="compose", username="admin")) == 1
    [started] = _named(lines, "host_call_started", what="compose")
    assert ids.items() <= started.items(), "a line of the rack, from the driver's thread"
    calls = _named(lines, "call_ended", command="host.compose", call_id=started["call_id"])
    assert [one for one in calls if ids.items() <= one.items()], "a line of the region about this RPC call"
    [host_ended] = _named(lines, "host_call_ended", what="compose", call_id=started["call_id"])
    assert ids.items() <= host_ended.items()


async def test_operations_of_a_bulk_task_have_the_id_of_its_request(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machines = [await innkeeper.compose(host["id"], cores=1, memory=1024) for _ in range(2)]
    fields = {"action": "power_on", "machines": [one["system_id"] for one in machines]}
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        await innkeeper.send("POST", "machines/", op="bulk", fields=fields, headers={"X-Request-Id": ID})
        await eventually(lambda: len(_named(lines, "operation_ended", request_id=ID)) == 3)
    assert len(_named(lines, "host_call_started", what="power on", request_id=ID)) == 2
