"""A request passes few modules of the region: a new one on its way has to be worth it."""

from collections.abc import Mapping

import pytest

from development.request_trace import ASYNC, traced
from innkeeper.api_description import Method
from tests.deployment.deployment import Deployment

pytestmark = pytest.mark.database

# Two modules of each are those of traces: a request that is not traced asks them for that.
MOST_OF_A_READ = 26
# Until its rows are committed. One of them says which request the operation is of, one what a copy begins with, one how
# its disks are named, one how large a product makes them, and one what the end of the region interrupts.
MOST_OF_A_COMPOSE = 67
ANSWERS = "regiond.api.declaration.operation_wait"  # reads the operation, which is committed then
REQUESTS = 3


async def _modules_passed(
    innkeeper: Deployment, method: Method, path: str, op: str | None = None, fields: Mapping[str, str] | None = None
) -> list[str]:
    """Returns the modules that each of some equal requests passed: a timer of the region may run beside one."""
    traces = []
    for _ in range(1 + REQUESTS):  # the first does what is done once
        with traced() as trace:
            await innkeeper.send(method, path, op=op, fields=fields, headers=ASYNC)
        traces.append(trace.modules)
    return [name for name in traces[-1] if all(name in modules for modules in traces[1:])]


async def test_a_list_passes_few_modules(innkeeper: Deployment) -> None:
    passed = await _modules_passed(innkeeper, "GET", "resourcepools/")
    assert len(passed) <= MOST_OF_A_READ, "\n".join(passed)


async def test_a_compose_passes_few_modules(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    passed = await _modules_passed(
        innkeeper, "POST", f"vm-hosts/{host['id']}/", "compose", {"cores": "1", "memory": "2048"}
    )
    before = passed[: passed.index(ANSWERS)]
    assert len(before) <= MOST_OF_A_COMPOSE, "\n".join(before)
