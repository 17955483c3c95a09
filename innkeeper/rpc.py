"""The region's RPC for programs: typed calls over one mutually authenticated link.

    async with innkeeper.rpc.connect("127.0.0.1:5250", folder="client/") as region:
        operation = await region.compose(host="local", cores=1, memory_mib=1024)
        done = await region.wait(operation.id)

`innkeeper client issue NAME` makes the folder. Use it inside Twisted's asyncio reactor; `run` starts one for a script.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path

from common.errors import DeadlineExceeded, OperationPending, rebuild
from common.rpc.commands import (
    CLIENT_COMPOSE,
    CLIENT_DELETE,
    CLIENT_HOSTS,
    CLIENT_MACHINES,
    CLIENT_OPERATION,
    CLIENT_POWER,
    CLIENT_WAIT,
    ComposeWish,
    HostSummary,
    MachineCall,
    MachinePowerCall,
    MachineSummary,
    Nothing,
    OperationCall,
    OperationSummary,
)
from common.rpc.connection import connect as open_link
from common.rpc.handlers import Side
from common.rpc.link import Link
from common.rpc.peers import Address, Role
from common.rpc.tls import MemberTls
from common.values import PowerAction
from innkeeper.following import ENDED
from innkeeper.identity import read_identity
from innkeeper.running import run

__all__ = ["HostSummary", "MachineSummary", "OperationSummary", "PowerAction", "Region", "connect", "run"]

CALL_S = 30.0
CLOSE_S = 5.0
WAIT_PIECE_S = 75.0  # the region answers a wait within 60 s; `wait` asks again until its own time is over
PAUSE_S = 0.1  # between two of these, should a region answer at once


class Region:
    """A region, as one RPC client. Every call raises what the region raised (common/errors.py), and LinkLost or
    DeadlineExceeded when its outcome is unknown: look with `operation` or repeat with the same idempotency key.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def hosts(self) -> tuple[HostSummary, ...]:
        return (await self._link.call(CLIENT_HOSTS, Nothing(), deadline_s=CALL_S)).hosts

    async def machines(self) -> tuple[MachineSummary, ...]:
        return (await self._link.call(CLIENT_MACHINES, Nothing(), deadline_s=CALL_S)).machines

    async def compose(
        self,
        *,
        host: str | int | None = None,
        hostname: str | None = None,
        cores: int = 1,
        memory_mib: int = 2048,
        storage: str = "",
        power_on: bool = False,
        idempotency_key: str | None = None,
        interfaces: str = "",
        pinned_cores: Iterable[int] = (),
        pin_cores: int | None = None,
        huge_pages_backed: bool = False,
        huge_page_size_mib: int | None = None,
        one_numa_node: bool = False,
    ) -> OperationSummary:
        """The operation that composes a machine; placement chooses the host when none is named.

        `storage` is a constraint text such as `root:8,data:20(fast)`, in GB; `interfaces` one such as `eth0:space=dmz`.
        `pinned_cores` are the machine's alone, or `pin_cores` of one NUMA node. OutOfCapacity says why nothing fits.
        """
        wish = ComposeWish(
            host=None if host is None else str(host),
            hostname=hostname,
            cores=cores,
            memory_mib=memory_mib,
            storage=storage,
            power_on=power_on,
            idempotency_key=idempotency_key,
            interfaces=interfaces,
            pinned_cores=tuple(pinned_cores),
            pin_cores=pin_cores,
            huge_pages_backed=huge_pages_backed,
            huge_page_size_mib=huge_page_size_mib,
            one_numa_node=one_numa_node,
        )
        return await self._link.call(CLIENT_COMPOSE, wish, deadline_s=CALL_S)

    async def power(self, system_id: str, action: PowerAction | str) -> OperationSummary:
        """The operation that powers a machine `on`, `off`, `force_off` or through a `cycle`."""
        request = MachinePowerCall(system_id=system_id, action=PowerAction(action))
        return await self._link.call(CLIENT_POWER, request, deadline_s=CALL_S)

    async def delete(self, system_id: str) -> OperationSummary:
        """The operation that removes a machine with its guest and disks."""
        return await self._link.call(CLIENT_DELETE, MachineCall(system_id=system_id), deadline_s=CALL_S)

    async def operation(self, operation_id: int) -> OperationSummary:
        return await self._link.call(CLIENT_OPERATION, OperationCall(operation_id=operation_id), deadline_s=CALL_S)

    async def wait(self, operation_id: int, *, deadline_s: float = 600.0) -> OperationSummary:
        """The operation once it has succeeded.

        Raises its own error when it failed or was cancelled, and OperationPending when `deadline_s` is over first:
        the operation goes on.
        """
        until = time.monotonic() + deadline_s
        request = OperationCall(operation_id=operation_id)
        while (left_s := until - time.monotonic()) > 0:
            try:
                found = await self._link.call(CLIENT_WAIT, request, deadline_s=min(WAIT_PIECE_S, left_s))
            except (DeadlineExceeded, OperationPending):
                continue
            if found.state in ENDED:
                return _succeeded(found)
            await asyncio.sleep(PAUSE_S)
        raise OperationPending(
            f"Operation {operation_id} has not ended within {deadline_s:g} s; it goes on.", operation_id=operation_id
        )


@asynccontextmanager
async def connect(address: str, *, folder: str | PathLike[str], deadline_s: float = 10.0) -> AsyncIterator[Region]:
    """The region at `host:port`, as the client whose three files are in `folder`; the link is closed at the end.

    The region's certificate must come from the folder's authority and be a region's. Raises BadSettings for files that
    are missing or no client's, LinkLost when nothing answers, NotTrusted, NotAllowed or VersionMismatch.
    """
    credentials, name = read_identity(Path(folder))
    side = Side(role=Role.CLIENT, name=name)
    link = await open_link(Address.parse(address), MemberTls(credentials), side, deadline_s=deadline_s)
    try:
        yield Region(link)
    finally:
        link.close("the client is done")
        async with asyncio.timeout(CLOSE_S):
            await link.closed()


def _succeeded(found: OperationSummary) -> OperationSummary:
    if found.state == "succeeded":
        return found
    said = found.error_message or f"Operation {found.id} was {found.state}."
    raise rebuild(found.error_code or "error", said, {"operation_id": found.id})
