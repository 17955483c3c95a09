"""A machine of a hard anti-affinity group is composed, while another one of the group exists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.scenario import SUCCEEDS_OR_ANSWERED, Outcome, Request, RequestScenario, problem
from tests.faults.scenarios.site import Site

GROUP = {"anti_affinity": "apart"}
_SHAPE = {"cpu_count": "3", "mem": "1024"}  # more cores than any existing machine has: the allocation composes
_MEMBERS = "select count(*) from affinity_membership where group_name = 'apart'"


class ComposeApart(RequestScenario):
    """The other machine is on the first shared host; `tests/faults/regions` has two requests at the same time."""

    name = "compose_apart"
    kinds = (OperationKind.COMPOSE,)
    ends = SUCCEEDS_OR_ANSWERED

    async def prepare(self, site: Site) -> None:
        await site.deployment.compose((await site.host()).host_id, cores="1", **GROUP)

    async def request(self, site: Site, state: None) -> Request:
        return Request(path="machines/", op="allocate", fields={**_SHAPE, **GROUP})

    async def check(self, site: Site, state: None, outcome: Outcome) -> Iterable[str]:
        machines: list[Any] = await site.deployment.get("machines/")
        hosts = sorted(one["pod"]["name"] for one in machines)
        members = await site.fetchval(_MEMBERS)
        return [
            *problem(f"the machines of the group are on {hosts}", when=len(hosts) != 2 or len({*hosts}) != 2),
            *problem(f"the group has {members} machines", when=members != 2),
        ]
