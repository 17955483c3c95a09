"""The last host of an LXD server is removed: our certificate leaves the server's trust list."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.cell_hosts import CellHost
from tests.faults.scenarios.hosts.lxd import FakeLxdHost
from tests.faults.scenarios.scenario import SUCCEEDS, Outcome, Request, Response, UnkeyedScenario, problem
from tests.faults.scenarios.site import Site

_PAIRS = "select count(*) from key_pair"
_EVENTS = "select kind from event where operation_id = $1 and kind in ('certificate_removed', 'certificate_left')"


class RemoveLxdHost(UnkeyedScenario):
    """A server that does not answer keeps the certificate, or the outcome is unknown; the result says which."""

    name = "remove_lxd_host"
    kinds = (OperationKind.REMOVE_HOST,)
    waits = False
    ends = SUCCEEDS

    async def prepare(self, site: Site) -> CellHost:
        return await site.add(site.new_lxd_host())

    async def request(self, site: Site, state: CellHost) -> Request:
        return Request(method="DELETE", path=state.path)

    async def known(self, site: Site, state: CellHost) -> Response | None:
        in_progress = await site.opened(OperationKind.REMOVE_HOST, state.after)
        return None if in_progress is None else Response(operation_id=in_progress)

    async def check(self, site: Site, state: FakeLxdHost, outcome: Outcome) -> Iterable[str]:
        trusted = await asyncio.to_thread(lambda: list(state.server.trusted))
        said = (outcome.operation.get("result") or {}).get("certificate") or {}
        events = [row[0] for row in await site.fetch(_EVENTS, outcome.operation.get("id"))]
        expected = ["certificate_removed" if said.get("removed") else "certificate_left"]
        is_so = not trusted if said.get("removed") else bool(trusted) or said.get("uncertain")
        pairs = await site.fetchval(_PAIRS)
        return [
            *problem("the host still exists", when=await site.find(state) is not None),
            *problem(f"the server trusts {trusted}, and the result is {said}", when=not is_so),
            *problem(f"the events are {events}, and the result is {said}", when=events != expected),
            *problem(f"{pairs} key pairs are left", when=pairs != 0),
        ]

    async def clear(self, site: Site, state: CellHost) -> None:
        await site.remove(state)
