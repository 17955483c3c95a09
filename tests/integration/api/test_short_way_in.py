"""A request passes few modules of the region: a new one on its way has to be worth it."""

from collections.abc import Mapping
from functools import partial

import pytest

from development.request_trace import ASYNC, traced
from innkeeper.api_description import Method
from tests.deployment.deployment import ENDED, Deployment
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

# One module of each is that of traces: a request that is not traced asks it for that. Three of a read hide from its
# reader what servers say; one writes the JSON of lists, events and pages of lists alike.
MOST_OF_A_READ = 29
MOST_OF_A_LIST_OF_HOSTS = 38  # with the capacity of each
# Until its rows are committed. One of them says what the end of the region interrupts, one whether only a plan is
# wanted, and two whether this region begins the compose by itself.
MOST_OF_A_COMPOSE = 64
ANSWERS = "regiond.api.declaration.operation_wait"  # reads the operation, which is committed then
REQUESTS = 3


async def _nothing_runs(innkeeper: Deployment) -> bool:
    return all(one["state"] in ENDED for one in await innkeeper.get("operations/"))


async def _modules_passed(
    innkeeper: Deployment, method: Method, path: str, op: str | None = None, fields: Mapping[str, str] | None = None
) -> list[str]:
    """Returns the modules that each of some equal requests passed: a timer of the region may run beside one.

    The operation of the request before has ended: beside one, a request may open a connection to the database.
    """
    traces = []
    for _ in range(1 + REQUESTS):  # the first does what is done once
        with traced() as trace:
            await innkeeper.send(method, path, op=op, fields=fields, headers=ASYNC)
        traces.append(trace.modules)
        await eventually(partial(_nothing_runs, innkeeper))
    return [name for name in traces[-1] if all(name in modules for modules in traces[1:])]


async def test_a_list_passes_few_modules(innkeeper: Deployment) -> None:
    passed = await _modules_passed(innkeeper, "GET", "resourcepools/")
    assert len(passed) <= MOST_OF_A_READ, "\n".join(passed)


async def test_a_list_of_hosts_passes_few_modules(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    passed = await _modules_passed(innkeeper, "GET", "vm-hosts/")
    assert len(passed) <= MOST_OF_A_LIST_OF_HOSTS, "\n".join(passed)


async def test_a_compose_passes_few_modules(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    passed = await _modules_passed(
        innkeeper, "POST", f"vm-hosts/{host['id']}/", "compose", {"cores": "1", "memory": "2048"}
    )
    before = passed[: passed.index(ANSWERS)]
    assert len(before) <= MOST_OF_A_COMPOSE, "\n".join(before)
