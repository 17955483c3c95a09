"""A VM host of a watched MAAS is taken over and given back: one of both is in charge, whichever process is killed.

The MAAS is only read, and guests of the host get or lose our marker, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from attrs import frozen

from common.words.operation_kinds import OperationKind
from innkeeper.answer import Answer
from innkeeper.request_body import Body
from tests.deployment.deployment import ENDED
from tests.faults.scenarios.cell_hosts import SimulatedCellHost
from tests.faults.scenarios.maas.maas_import import new_unknown_host
from tests.faults.scenarios.scenario import (
    SUCCEEDS,
    Outcome,
    Request,
    RequestScenario,
    Response,
    UnkeyedScenario,
    problem,
    send,
)
from tests.faults.scenarios.site import Site
from tests.maas_api.authentication import api_key
from tests.maas_api.rows import Rows
from tests.maas_api.server import serving
from tests.maas_api.simulated_site import machine, remove, simulated_maas
from tests.maas_api.state import Maas
from tests.maas_site.hosts import NORTH, SOUTH
from tests.support.waiting import eventually

_ADMIN_TOKEN = 1
_TAKEN = "select taken_at is not null from maas_watched_host where host_id = $1"
_HOLDER = "select coalesce(maintenance_holder, '') from vm_host where id = $1"


@frozen(kw_only=True)
class Watched:
    """A MAAS with one machine on one host, which is here in maintenance; `before` is all of its VM but the marker."""

    maas: Maas
    host: SimulatedCellHost
    system_id: str
    vm: str
    import_id: int
    before: Any
    running: ExitStack


def _maas_with(host: SimulatedCellHost, system_id: str, vm: str) -> Maas:
    maas = simulated_maas()
    for where, number in ((NORTH, 1), (NORTH, 2), (SOUTH, 0), (SOUTH, 1), (SOUTH, 2)):
        remove(maas, where, number)
    machine(maas, NORTH, 0).update(
        system_id=system_id, hostname=vm, instance_power_parameters={"instance_name": vm}
    )  # fmt: skip
    address = {"power_address": host.fields["power_address"]}
    maas.rows.one("bmc", NORTH).update(name=host.name, power_parameters=address)
    maas.rows = Rows(maas.rows.tables)
    return maas


async def _imported(site: Site, maas: Maas, url: str) -> int:
    """Brings the host, and as little as possible besides; returns the number of the import."""
    body = Body(fields=[("url", url), ("key", api_key(maas, _ADMIN_TOKEN)), ("watch", "true")])
    begun = (await site.deployment.api.send("POST", "maas-imports/", body=body)).json()
    plan = await site.deployment.get(f"maas-imports/{begun['id']}/", op="plan")
    for kind, objects in plan["objects"].items():
        for one in objects:
            if (kind, one["source_id"]) == ("hosts", str(NORTH)):
                continue
            if one["state"] in {"new", "conflict"} and "leave_out" in one["choices"]:
                one["choice"] = "leave_out"
    body = Body(files={"plan": json.dumps(plan).encode()})
    answer = await site.deployment.api.send("POST", f"maas-imports/{begun['id']}/", query=[("op", "apply")], body=body)
    ended = await _ended(site, answer.json()["id"])
    assert ended["state"] == "succeeded", ended["error"]
    return int(begun["id"])


async def _ended(site: Site, operation_id: int) -> Any:
    async def found() -> Any:
        operation = await site.deployment.get(f"operations/{operation_id}/")
        return operation if operation["state"] in ENDED else None

    return await eventually(found)


async def watched(site: Site) -> Watched:
    host = await new_unknown_host(site)
    plain = site.new_name("watched").replace("-", "")
    vm, system_id = f"vm-{plain}", f"{plain}x"
    await asyncio.to_thread(host.file.add_foreign, vm)
    running = ExitStack()
    maas = _maas_with(host, system_id, vm)
    url = running.enter_context(serving(maas))
    import_id = await _imported(site, maas, url)
    host.host_id = (await site.find(host))["id"]
    return Watched(
        maas=maas, host=host, system_id=system_id, vm=vm, import_id=import_id, running=running,
        before=await asyncio.to_thread(host.all_but_marker, vm),
    )  # fmt: skip


def take_over(state: Watched) -> Request:
    """The guest that each simulated host has from the start differs from what MAAS says."""
    return Request(path=state.host.path, op="take_over", fields={"force": "true"})


async def problems_of(site: Site, state: Watched, *, taken: bool) -> list[str]:
    """Either Innkeeper has the host, its machine and no maintenance, or MAAS has, and the host is in maintenance."""
    machines = [(one["system_id"], one["hostname"]) for one in await site.deployment.get("machines/")]
    is_taken = await site.fetchval(_TAKEN, state.host.host_id)
    holder = await site.fetchval(_HOLDER, state.host.host_id)
    marked = await asyncio.to_thread(state.host.marked)
    after = await asyncio.to_thread(state.host.all_but_marker, state.vm)
    return [
        *problem(f"the machines are {machines}", when=machines != ([(state.system_id, state.vm)] if taken else [])),
        *problem(f"the host is taken over: {is_taken}", when=is_taken is not taken),
        *problem(f"its maintenance is held by {holder!r}", when=holder != ("" if taken else "maas_parallel_run")),
        *problem(f"the guests with our marker are {marked}", when=marked != ([state.vm] if taken else [])),
        *problem(f"the VM was {state.before} and is {after}", when=after != state.before),
        *problem(f"MAAS was changed: {state.maas.changes}", when=bool(state.maas.changes)),
    ]


class _OfWatchedHost(RequestScenario):
    """The marker of one VM changes, and the host and its import are removed at the end."""

    def changed_guests(self, state: Watched) -> frozenset[str]:
        return frozenset({state.vm})

    async def clear(self, site: Site, state: Watched) -> None:
        await site.remove(state.host)
        await site.deployment.delete(f"maas-imports/{state.import_id}/")
        state.running.close()


class TakeOver(_OfWatchedHost):
    """A takeover that fails because the host did not answer is repeated."""

    name = "take_over"
    kinds: tuple[OperationKind, ...] = (OperationKind.IMPORT, OperationKind.ADOPT)
    ends = frozenset({"succeeded", "failed"})

    async def prepare(self, site: Site) -> Watched:
        return await watched(site)

    async def request(self, site: Site, state: Watched) -> Request:
        return take_over(state)

    async def check(self, site: Site, state: Watched, outcome: Outcome) -> Iterable[str]:
        if outcome.state == "failed":
            await site.until_ready(state.host)
            repeated = Response.by(await send(site, take_over(state), None, respond_async=True))
            again = await _ended(site, repeated.operation_id or 0)
            if again["state"] != "succeeded":
                return [f"the second takeover ended {again['state']}: {again['error']}"]
        return await problems_of(site, state, taken=True)


class GiveBack(_OfWatchedHost, UnkeyedScenario):
    """A caller without an answer finds the operation that forgets the machine."""

    name = "give_back"
    kinds = (OperationKind.FORGET,)
    ends = SUCCEEDS

    async def prepare(self, site: Site) -> Watched:
        state = await watched(site)
        taken = await _ended(
            site, Response.by(await send(site, take_over(state), None, respond_async=True)).operation_id or 0
        )
        assert taken["state"] == "succeeded", taken["error"]
        state.host.after = await site.newest_operation()
        return state

    async def request(self, site: Site, state: Watched) -> Request:
        return Request(path=state.host.path, op="give_back")

    async def known(self, site: Site, state: Watched) -> Response | None:
        begun = await site.opened(OperationKind.FORGET, state.host.after)
        return None if begun is None else Response(operation_id=begun)

    async def answered(self, site: Site, state: Watched, answer: Answer) -> Response:
        return Response(operation_id=answer.json()["operations"][0])

    async def check(self, site: Site, state: Watched, outcome: Outcome) -> Iterable[str]:
        return await problems_of(site, state, taken=False)
