"""What a first user would do by hand through the API: add this machine's libvirt, compose a VM on it, start it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from attrs import frozen

from common.errors import InnkeeperError
from development.places import CannotRun
from innkeeper.http import Api, Body

HOST = "local"
CORES = 1
MEMORY_MIB = 1024  # the least that the API takes
DISK_GB = 4


@frozen(kw_only=True)
class FirstVm:
    """`host` and `machine` as the API shows them."""

    host: dict[str, Any]
    machine: dict[str, Any]
    made_now: bool


async def ensure(api: Api, address: str, tell: Callable[[str], None]) -> FirstVm:
    """The host `local` at `address` and a machine on it, running. What is there already is used, not made again.

    Raises CannotRun with what the region said.
    """
    try:
        host = await _host(api, address, tell)
        found = await _machine_on(api, host["id"])
        system_id = found or await _compose(api, host, tell)
        machine = await _running(api, system_id)
        return FirstVm(host=await _get(api, f"vm-hosts/{host['id']}/"), machine=machine, made_now=found is None)
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


async def _running(api: Api, system_id: str) -> dict[str, Any]:
    path = f"machines/{system_id}/"
    power = await _get(api, path, op="query_power_state")
    if power["state"] != "on":
        await api.send("POST", path, query=[("op", "power_on")], body=Body())
    return dict(await _get(api, path))


async def _get(api: Api, path: str, *, op: str | None = None, deadline_s: float = 120.0) -> Any:
    return (await api.get(path, op=op, deadline_s=deadline_s)).json()
