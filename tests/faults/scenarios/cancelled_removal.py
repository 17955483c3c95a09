"""The removal of a host with its machines is cancelled while it deletes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from common.errors import InnkeeperError
from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.cell_hosts import GuestHost, SimulatedCellHost
from tests.faults.scenarios.hosts.hosts import RemoveHost
from tests.faults.scenarios.scenario import Outcome, Response, cancel, problem
from tests.faults.scenarios.site import Site, simulated
from tests.support.waiting import eventually

FAILING_CALL = "remove guest"
_STATES = "select id, state from operation where id = $1 or parent_id = $1"
_HAS_WAITED = "select not is_open or error_details ? 'undo_waits_for' from operation where id = $1"
# Each is attempted once before the cancellation. A longer delay would resemble a clock that was set back.
_POSTPONE = """
    update operation set not_before = now() + interval '50 seconds'
     where (id = $1 or parent_id = $1) and state = 'waiting'
"""


class CancelRemoval(RemoveHost):
    """The host rejects deletions until the removal is cancelled, so that none of its two machines is deleted before."""

    ends = frozenset({"cancelled"})

    def __init__(self) -> None:
        super().__init__(decompose=True)
        self.name = "cancel_removal"

    async def prepare(self, site: Site) -> GuestHost:
        host = await super().prepare(site)
        await site.deployment.compose(host.host_id, hostname=host.hostname(f"n-{host.name}"), **host.shape)
        host.after = await site.newest_operation()
        simulated(site).fail_call(host, FAILING_CALL)
        return host

    async def submit(self, site: Site, state: GuestHost, key: str) -> Response:
        opened = await super().submit(site, state, key)
        if opened.operation_id is None or not simulated(site).call_fails(state, FAILING_CALL):
            return opened
        await eventually(lambda: self._deletes(site, opened.operation_id))
        await self._cancel(site, opened.operation_id)
        simulated(site).restore_calls()
        return opened

    async def _cancel(self, site: Site, operation_id: int) -> None:
        """No deletion is undone before the removal has waited for them once: otherwise its points would vary."""
        with simulated(site).attempts_held(OperationKind.DELETE):
            await cancel(site, operation_id)
            await eventually(lambda: site.fetchval(_HAS_WAITED, operation_id))

    async def _deletes(self, site: Site, operation_id: Any) -> bool:
        """Whether the removal and both deletions wait after their first attempts, or the removal is over."""
        await site.fetch(_POSTPONE, operation_id)
        states = {row["id"]: row["state"] for row in await site.fetch(_STATES, operation_id)}
        waiting = len(states) == 3 and {*states.values()} == {"waiting"}
        return waiting or states[operation_id] not in ("queued", "running", "waiting")

    async def check(self, site: Site, state: GuestHost, outcome: Outcome) -> Iterable[str]:
        assert isinstance(state, SimulatedCellHost)
        machines: list[Any] = await site.deployment.get("machines/")
        left = {one["hostname"] for one in machines}
        details = (outcome.operation.get("error") or {}).get("details") or {}
        said = {name for end in ("deleted", "uncertain", "kept") for name in details.get(end, ())}
        both = {f"m-{state.name}", f"n-{state.name}"}
        return [
            *await site.not_ready(state),
            *problem(f"the error names {sorted(said)}", when=said != both),
            *problem(
                f"{sorted(left)} are left, and the error says {details}", when=not {*details.get("kept", ())} <= left
            ),
            *problem(f"{sorted(left)} are left", when=bool(left & {*details.get("deleted", ())})),
            *await asyncio.to_thread(state.machine_problems, machines),
            *await asyncio.to_thread(state.foreign_problems),
            *await self._is_removable(site, state),
        ]

    async def _is_removable(self, site: Site, state: GuestHost) -> list[str]:
        """What blocks a later removal."""
        try:
            await site.remove(state)
        except InnkeeperError as error:
            return [f"a later removal is refused: {error}"]
        return []

    async def clear(self, site: Site, state: GuestHost) -> None:
        simulated(site).restore_calls()
        await super().clear(site, state)
