"""What a first user would do by hand through the API: add this machine's libvirt, compose a VM on it, start it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from attrs import frozen

from common.errors import DeadlineExceeded, InnkeeperError
from development.places import CannotRun
from innkeeper.http import Api, Body

HOST = "local"
CORES = 1
MEMORY_MIB = 1024  # the least that the API takes
DISK_GB = 4
SETTLE_S = 60.0


@frozen(kw_only=True)
class FirstVm:
    """`host` and `machine` as the API shows them. `refusal` says why there is no machine, or why it does not run."""

    host: dict[str, Any]
    machine: dict[str, Any] | None
    made_now: bool = False
    refusal: str | None = None


async def ensure(api: Api, address: str, tell: Callable[[str], None]) -> FirstVm:
    """The host `local` at `address` and a machine on it, running if it can. What is there already is used.

    Raises CannotRun with what the region said.
    """
    try:
        host = await _host(api, address, tell)
        system_id = await _machine_on(api, host["id"])
        made_now, refusal = system_id is None, None
        try:
            system_id = system_id or await _compose(api, host, tell)
            await _power_on(api, system_id)
        except InnkeeperError as error:  # no room, say: the rest runs all the same
            refusal = str(error)
        machine = await _get(api, f"machines/{system_id}/") if system_id else None
        host = await _get(api, f"vm-hosts/{host['id']}/")
        return FirstVm(host=host, machine=machine, made_now=made_now, refusal=refusal)
    except InnkeeperError as error:
        raise CannotRun(f"The region refused: {error}") from error


async def rack_is_connected(api: Api) -> bool:
    """Whether any rack is on the line now. A region that cannot be reached has none."""
    try:
        racks = await _get(api, "racks/", deadline_s=5)
    except InnkeeperError:
        return False
    return any(rack["connected"] for rack in racks)


async def join_token(api: Api) -> str:
    """A one-time token for this machine's rack. A secret. Raises CannotRun."""
    try:
        answer = await api.send("POST", "racks/", query=[("op", "token")], body=Body())
        token: str = answer.json()["token"]
    except InnkeeperError as error:
        raise CannotRun(f"The region gave no token for the rack: {error}") from error
    return token


async def _host(api: Api, address: str, tell: Callable[[str], None]) -> dict[str, Any]:
    for host in await _get(api, "vm-hosts/"):
        parameters = await _get(api, f"vm-hosts/{host['id']}/", op="parameters")
        if host["type"] == "virsh" and parameters["power_address"] == address:
            break
    else:
        tell(f"Adding this machine's libvirt, {address}, as the host '{HOST}'.")
        fields = [("type", "virsh"), ("power_address", address), ("name", HOST)]
        host = (await api.send("POST", "vm-hosts/", body=Body(fields=fields))).json()
    if not host["architectures"]:  # added, and not reached yet: a refresh says why
        host = (await api.send("POST", f"vm-hosts/{host['id']}/", query=[("op", "refresh")], body=Body())).json()
    return dict(host)


async def _machine_on(api: Api, host_id: int) -> str | None:
    on_host = [m for m in await _get(api, "machines/") if m.get("pod") and m["pod"]["id"] == host_id]
    return str(on_host[0]["system_id"]) if on_host else None


async def _compose(api: Api, host: dict[str, Any], tell: Callable[[str], None]) -> str:
    # A name with a tail: an earlier state that was thrown away may have left its own first VM on this libvirt.
    hostname = f"first-{uuid4().hex[:4]}"
    tell(f"Composing {hostname}: {CORES} core, {MEMORY_MIB} MiB, a disk of {DISK_GB} GB.")
    fields = [
        ("hostname", hostname),
        ("cores", str(CORES)),
        ("memory", str(MEMORY_MIB)),
        ("storage", f"root:{DISK_GB}"),
        ("skip_commissioning", "true"),
    ]
    path = f"vm-hosts/{host['id']}/"
    answer = await api.send("POST", path, query=[("op", "compose")], body=Body(fields=fields))
    return str(answer.json()["system_id"])


async def _power_on(api: Api, system_id: str) -> None:
    path = f"machines/{system_id}/"
    await _settled(api, system_id)
    if (await _get(api, path, op="query_power_state"))["state"] != "on":
        await api.send("POST", path, query=[("op", "power_on")], body=Body())


async def _settled(api: Api, system_id: str) -> None:
    """Return once no operation of the machine is under way: a run that was killed may have left one."""
    states = "".join(f"&state={state}" for state in ("queued", "running", "waiting", "undoing"))
    try:
        async with asyncio.timeout(SETTLE_S):
            while True:
                if not await _get(api, f"operations/?machine={system_id}{states}"):
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise DeadlineExceeded(f"an operation on the machine was still under way after {SETTLE_S:.0f} s.") from None


async def _get(api: Api, path: str, *, op: str | None = None, deadline_s: float = 120.0) -> Any:
    return (await api.get(path, op=op, deadline_s=deadline_s)).json()
