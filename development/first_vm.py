"""Adds this machine's libvirt as a host, with a first VM if it has none, through the API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import uuid4

from attrs import frozen

from common.errors import DeadlineExceeded, InnkeeperError
from development.paths import CannotRun
from innkeeper.http import Api
from innkeeper.request_body import Body

HOST = "local"
CORES = 1
MEMORY_MIB = 1024  # the minimum that the API accepts
DISK_GB = 4
OPERATION_DEADLINE_S = 60.0
RECONNECT_DEADLINE_S = 90.0  # for a region and a rack that the supervisor restarts
MAX_OUTAGES = 5
_PROBE_EVERY_S = 0.2
_UNAVAILABLE = (502, 503, 504)

T = TypeVar("T")


@frozen(kw_only=True)
class FirstVm:
    """`host` and `machine` as the API returns them. `problem`: why there is no machine, or why it is not running.

    `guests`: the VMs on the host as the API returns them. `composed`: by this run; another machine was found.
    """

    host: dict[str, Any]
    machine: dict[str, Any] | None
    composed: bool = False
    problem: str | None = None
    guests: tuple[dict[str, Any], ...] = ()

    @property
    def guest_name(self) -> str | None:
        """The name that the hypervisor has for the machine; None if it has no such guest."""
        system_id = self.machine["system_id"] if self.machine else None
        return next((one["identifier"] for one in self.guests if system_id and one["system_id"] == system_id), None)


async def ensure(api: Api, address: str, report: Callable[[str], None]) -> FirstVm:
    """Returns the host `local` at `address` and a machine on it: what is there, or else a new one, started.

    A machine that is found is not changed: a person may have powered it off, or undefined it in libvirt. Idempotent.
    If the region or its rack dies meanwhile, waits for the restarted one and continues. Raises CannotRun with the
    region's message.
    """
    # The suffix avoids the first VM that a deleted state folder left in this libvirt.
    hostname = f"first-{uuid4().hex[:4]}"

    async def attempt() -> FirstVm:
        return await _ensure_once(api, address, hostname, report)

    try:
        return await through_outages(attempt, lambda: rack_is_connected(api), report)
    except InnkeeperError as error:
        raise CannotRun(f"The first VM could not be set up: {error}") from error


async def through_outages(
    attempt: Callable[[], Awaitable[T]], available: Callable[[], Awaitable[bool]], report: Callable[[str], None]
) -> T:
    """Returns what `attempt` returns; after an outage waits until `available` and repeats it: it must be idempotent.

    Raises what `attempt` raises if the region rejects a request, after five outages, and if `available` stays False
    for 90 s.
    """
    for _ in range(MAX_OUTAGES):
        try:
            return await attempt()
        except InnkeeperError as error:
            if not await _is_outage(error, available):
                raise
            report(f"{error} Waiting until the region is available again.")
            if not await _becomes(available, RECONNECT_DEADLINE_S):
                raise
    return await attempt()


async def rack_is_connected(api: Api) -> bool:
    """Whether a rack is connected. False if the region cannot be reached."""
    try:
        racks = await _get(api, "racks/", deadline_s=5)
    except InnkeeperError:
        return False
    return any(rack["connected"] for rack in racks)


async def region_answers(api: Api) -> bool:
    """Whether the region answers requests."""
    try:
        await api.get("version/", deadline_s=5)
    except InnkeeperError:
        return False
    return True


async def join_token(api: Api, report: Callable[[str], None]) -> str:
    """Returns a one-time token for this machine's rack. A secret. Raises CannotRun."""

    async def attempt() -> str:
        response = await api.send("POST", "racks/", query=[("op", "token")], body=Body())
        token: str = response.json()["token"]
        return token

    try:
        return await through_outages(attempt, lambda: region_answers(api), report)
    except InnkeeperError as error:
        raise CannotRun(f"The region issued no token for the rack: {error}") from error


async def _is_outage(error: InnkeeperError, available: Callable[[], Awaitable[bool]]) -> bool:
    """Whether a request failed because the region or its rack is unavailable, not because it was rejected."""
    status = error.details.get("status")
    return status is None or (status in _UNAVAILABLE and not await available())


async def _becomes(condition: Callable[[], Awaitable[bool]], deadline_s: float) -> bool:
    try:
        async with asyncio.timeout(deadline_s):
            while not await condition():  # noqa: ASYNC110  # polls another process
                await asyncio.sleep(_PROBE_EVERY_S)
    except TimeoutError:
        return False
    return True


async def _ensure_once(api: Api, address: str, hostname: str, report: Callable[[str], None]) -> FirstVm:
    host = await _host(api, address, report)
    machine, problem = await _machine_on(api, host["id"]), None
    composed = machine is None or machine["hostname"] == hostname  # also by an attempt that an outage interrupted
    try:
        if composed:
            await _power_on(api, machine["system_id"] if machine else await _compose(api, host, hostname, report))
        else:
            await _refresh(api, host)  # a person may have changed or undefined it since the last run
    except InnkeeperError as error:
        if await _is_outage(error, lambda: rack_is_connected(api)):
            raise
        problem = str(error)  # no capacity, for example: the rest works without a VM
    machine = await _machine_on(api, host["id"])
    guests = [one for one in await _get(api, "virtual-machines/") if one["bmc_id"] == host["id"]]
    return FirstVm(
        host=await _get(api, f"vm-hosts/{host['id']}/"),
        machine=machine,
        composed=composed and machine is not None,
        problem=problem,
        guests=tuple(guests),
    )


async def _host(api: Api, address: str, report: Callable[[str], None]) -> dict[str, Any]:
    for host in await _get(api, "vm-hosts/"):
        parameters = await _get(api, f"vm-hosts/{host['id']}/", op="parameters")
        if parameters.get("power_address") == address:
            break
    else:
        report(f"Adding this machine's libvirt, {address}, as the host '{HOST}'.")
        fields = [("type", "virsh"), ("power_address", address), ("name", HOST)]
        host = (await api.send("POST", "vm-hosts/", body=Body(fields=fields))).json()
    if not host["architectures"]:  # added but not discovered: a refresh discovers it or reports the reason
        host = await _refresh(api, host)
    return dict(host)


async def _refresh(api: Api, host: dict[str, Any]) -> Any:
    return (await api.send("POST", f"vm-hosts/{host['id']}/", query=[("op", "refresh")], body=Body())).json()


async def _machine_on(api: Api, host_id: int) -> dict[str, Any] | None:
    """Returns the first machine on the host, one whose guest exists if possible; None without a machine."""
    on_host = [m for m in await _get(api, "machines/") if m.get("pod") and m["pod"]["id"] == host_id]
    return min(on_host, key=is_missing, default=None)


def is_missing(machine: dict[str, Any]) -> bool:
    """Whether the last refresh of its host did not list the machine's guest."""
    return bool(machine["status_name"] == "Missing")


async def _compose(api: Api, host: dict[str, Any], hostname: str, report: Callable[[str], None]) -> str:
    report(f"Composing {hostname}: {CORES} core, {MEMORY_MIB} MiB memory, a {DISK_GB} GB disk.")
    fields = [
        ("hostname", hostname),
        ("cores", str(CORES)),
        ("memory", str(MEMORY_MIB)),
        ("storage", f"root:{DISK_GB}"),
        ("skip_commissioning", "true"),
    ]
    path = f"vm-hosts/{host['id']}/"
    headers = {"Idempotency-Key": f"dev-run {hostname}"}  # a repeat after an outage returns the same machine
    response = await api.send("POST", path, query=[("op", "compose")], body=Body(fields=fields), headers=headers)
    return str(response.json()["system_id"])


async def _power_on(api: Api, system_id: str) -> None:
    path = f"machines/{system_id}/"
    await _operations_ended(api, system_id)
    if (await _get(api, path, op="query_power_state"))["state"] != "on":
        await api.send("POST", path, query=[("op", "power_on")], body=Body())


async def _operations_ended(api: Api, system_id: str) -> None:
    """Returns once the machine has no open operation; a killed run may have left one."""
    states = "".join(f"&state={state}" for state in ("queued", "running", "waiting", "undoing"))

    async def ended() -> bool:
        return not await _get(api, f"operations/?machine={system_id}{states}")

    if not await _becomes(ended, OPERATION_DEADLINE_S):
        message = f"An operation on machine {system_id} was still open after {OPERATION_DEADLINE_S:.0f} s."
        raise DeadlineExceeded(message, status=504)


async def _get(api: Api, path: str, *, op: str | None = None, deadline_s: float = 120.0) -> Any:
    return (await api.get(path, op=op, deadline_s=deadline_s)).json()
