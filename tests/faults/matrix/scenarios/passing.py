"""Hosts that come and go within a cell. No other cell sees them: what they hold is looked at here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import define

from common.errors import InnkeeperError
from innkeeper.http import Answer, Body
from regiond.operations.model import OperationKind
from tests.faults.matrix.caller import headers
from tests.faults.matrix.held import rows
from tests.faults.matrix.inn import Inn

_ADDRESS = "simulated:{name}?cores=8&memory_mib=16384&guests=1&networks=lan:10.1.0.0/24,dmz:10.2.0.0/24"
_KEPT = "select name from guest where machine_id is null order by name"
_OURS = (
    "select name from guest where machine_id is not null union all select name from volume where machine_id is not null"
)


@define(kw_only=True)
class Passing:
    """`host_id` is 0 before it was added. `fields` are those with which that is asked for.

    `after` is the newest operation before what the cell asks for.
    """

    name: str
    fields: dict[str, Any]
    host_id: int = 0
    after: int = 0

    @property
    def path(self) -> str:
        return f"vm-hosts/{self.host_id}/"


def simulated(inn: Inn) -> Passing:
    """Not added yet."""
    name = inn.new_name("passing")
    inn.passing.add(name)
    return Passing(name=name, fields={"type": "simulated", "power_address": _ADDRESS.format(name=name), "name": name})


async def add(inn: Inn, host: Passing) -> Passing:
    """As it was before anybody asked for anything."""
    host.host_id = (await inn.installed.post("vm-hosts/", **host.fields))["id"]
    host.after = await inn.newest_operation()
    return host


async def find(inn: Inn, host: Passing) -> Any:
    """What the API says of it; None when it has none of that name."""
    found = [one for one in await inn.installed.get("vm-hosts/") if one["name"] == host.name]
    assert len(found) <= 1, f"{len(found)} hosts are named {host.name}"
    return found[0] if found else None


async def until_ready(inn: Inn, host: Passing) -> Any:
    """As people do who see why it is not. Raises what a look that does not succeed is answered with."""
    told = await find(inn, host)
    if told is not None and told["state"] != "ready":
        await inn.installed.post(f"vm-hosts/{told['id']}/", op="refresh")
        told = await find(inn, host)
    return told


async def send(inn: Inn, method: Any, path: str, key: str, *, op: str | None = None, **fields: str) -> Answer:
    """It waits for the answer, as people do who cannot follow an operation. The key says whose request it is."""
    body = Body(fields=list(fields.items())) if fields else None
    query = [("op", op)] if op else []
    return await inn.installed.api.send(method, path, query=query, body=body, headers={"Idempotency-Key": key})


async def begin(inn: Inn, method: Any, path: str, key: str, *, op: str | None = None, **query: str) -> Answer:
    """It is answered with an operation to follow."""
    more = [("op", op)] if op else []
    return await inn.installed.api.send(method, path, query=[*more, *query.items()], headers=headers(key))


async def opened(inn: Inn, kind: OperationKind, after: int) -> int | None:
    """The newest operation of that kind since then."""
    found = await inn.installed.get("operations/")
    return next((one["id"] for one in found if one["kind"] == kind and one["id"] > after), None)


async def is_there(inn: Inn, host: Passing) -> Iterable[str]:
    """What is wrong with a host that should be there and ready, after another look at it."""
    try:
        told = await find(inn, host)
        if told is None:
            return [f"there is no host {host.name}"]
        await inn.installed.post(f"vm-hosts/{told['id']}/", op="refresh")
        told = await find(inn, host)
    except (InnkeeperError, AssertionError) as error:
        return [f"{host.name}: {error}"]
    return [] if told["state"] == "ready" and told["total"]["cores"] else [f"{host.name} is {told['state']}"]


def ours(inn: Inn, host: Passing) -> list[str]:
    """Guests and volumes with a mark."""
    return [row[0] for row in rows(inn, host.name, _OURS)]


def foreign_stays(inn: Inn, host: Passing) -> list[str]:
    kept = rows(inn, host.name, _KEPT)
    return [] if kept == [("foreign-0001",)] else [f"the foreign guests on {host.name} are {kept}"]


async def remove(inn: Inn, host: Passing) -> None:
    """It leaves no trace for the next cell, but for its file."""
    told = await find(inn, host)
    if told is not None:
        await inn.installed.delete(f"vm-hosts/{told['id']}/", decompose="true")
    inn.passing.discard(host.name)
