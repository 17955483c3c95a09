"""A compose that has created its disks and cannot continue is cancelled and undone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from tests.faults.scenarios.machines import Compose, HostMachine, unexpected_machines
from tests.faults.scenarios.scenario import Outcome, Response, cancel, problem
from tests.faults.scenarios.site import Site, simulated
from tests.support.waiting import eventually

FAILING_CALL = "define guest"  # after the disks
_STATE = "select state from operation where id = $1"
# The compose is attempted once before it is cancelled. A longer delay would resemble a clock that was set back.
_POSTPONE = "update operation set not_before = now() + interval '50 seconds' where id = $1 and state = 'waiting'"


class Cancel(Compose):
    """A caller without an answer cancels again, which is rejected once the operation is being undone."""

    name = "cancel"
    ends = frozenset({"cancelled"})

    async def prepare(self, site: Site) -> HostMachine:
        state = await super().prepare(site)
        simulated(site).fail_call(state.host, FAILING_CALL)
        return state

    async def submit(self, site: Site, state: HostMachine, key: str) -> Response:
        opened = await super().submit(site, state, key)
        if opened.operation_id is None or not simulated(site).call_fails(state.host, FAILING_CALL):
            return opened
        await eventually(lambda: self._has_failed(site, opened.operation_id))
        await cancel(site, opened.operation_id)
        simulated(site).restore_calls()
        return opened

    async def _has_failed(self, site: Site, operation_id: Any) -> bool:
        """Whether the first attempt is over."""
        await site.fetch(_POSTPONE, operation_id)
        return await site.fetchval(_STATE, operation_id) not in ("queued", "running")

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        created = await asyncio.to_thread(state.host.count, state.hostname, "appeared")
        return [
            *await unexpected_machines(site),
            *problem("a guest was created", when=bool(created)),
        ]

    async def clear(self, site: Site, state: HostMachine) -> None:
        simulated(site).restore_calls()
