"""RPC client for programs: typed calls to the region over one mutually authenticated link.

    async with innkeeper.rpc.connect("127.0.0.1:5250", folder="client/") as region:
        operation = await region.compose(host="local", cores=1, memory_mib=1024)
        done = await region.wait(operation.id)

A link that was lost is made again: see `Region`. `innkeeper client issue NAME` creates the folder. Runs in Twisted's
asyncio reactor; `run` starts one for a script.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from os import PathLike
from pathlib import Path

from common.errors import DeadlineExceeded, LinkLost, OperationPending, rebuild
from common.guests.compose_request import ComposeRequest
from common.process.periodic import PeriodicTask
from common.rpc.commands.client_commands import (
    CLIENT_ABANDON,
    CLIENT_ACCEPT_OFF,
    CLIENT_COMPOSE,
    CLIENT_DELETE,
    CLIENT_LIST_HOSTS,
    CLIENT_LIST_MACHINES,
    CLIENT_OPERATION,
    CLIENT_POWER,
    CLIENT_WAIT,
    AbandonCall,
    AdoptedGuest,
    ClientComposeCall,
    EventsCall,
    EventSummary,
    HostSummary,
    MachineCall,
    MachinePowerCall,
    MachineSummary,
    Nothing,
    OperationCall,
    OperationSummary,
)
from common.rpc.connection import connect as open_link
from common.rpc.frames import MAX_CLIENT_FRAME_BYTES
from common.rpc.handlers import Side
from common.rpc.link import Link
from common.rpc.peers import Address
from common.rpc.session import Limits
from common.rpc.tls import MemberTls
from common.trust.certificates import Role
from common.values import PowerAction
from innkeeper.commands.operation_wait import ENDED
from innkeeper.reactor import run
from innkeeper.rpc_calls.change_calls import CALL_S, ChangeCalls
from innkeeper.rpc_calls.client_credentials import CHECK_EVERY_S, CertificateRenewal, read_identity
from innkeeper.rpc_calls.event_following import following
from innkeeper.rpc_calls.region_calls import RegionCalls

__all__ = [
    "AdoptedGuest",
    "EventSummary",
    "HostSummary",
    "MachineSummary",
    "OperationSummary",
    "PowerAction",
    "Region",
    "connect",
    "run",
]

LIST_S = 300.0  # 50,000 machines take some 15 s
WAIT_CALL_S = 75.0  # the region answers a wait within 60 s; `wait` repeats the call until its own deadline
WAIT_INTERVAL_S = 0.1  # between two such calls, if a region answers at once


class Region(ChangeCalls):
    """A connection to a region. Every call raises the region's error (common/errors.py).

    After the link was lost, the next call makes a new one, and waits for it within its deadline. A call that was sent
    before is repeated if it changes nothing or has an idempotency key. LinkLost of another one, and DeadlineExceeded,
    mean that the outcome is unknown: query `operation`, or repeat the call with the same idempotency key.
    """

    async def hosts(self) -> tuple[HostSummary, ...]:
        parts = await self._link.items(CLIENT_LIST_HOSTS, Nothing(), deadline_s=LIST_S)
        return tuple(host for part in parts for host in part.hosts)

    async def machines(self) -> tuple[MachineSummary, ...]:
        parts = await self._link.items(CLIENT_LIST_MACHINES, Nothing(), deadline_s=LIST_S)
        return tuple(machine for part in parts for machine in part.machines)

    def events(
        self,
        *,
        after: int | None = None,
        level: str = "INFO",
        host: str | int | None = None,
        system_id: str | None = None,
        operation_id: int | None = None,
        kinds: Iterable[str] = (),
        username: str | None = None,
        text: str | None = None,
    ) -> AbstractAsyncContextManager[AsyncGenerator[EventSummary, None]]:
        """Opens the stream of events, which has no end: `async with region.events() as events`, then `async for`.

        It begins after the event `after`, with 0 with the oldest stored one, else with what happens once it is open. It
        has what the account may see and all filters match; `level` is the lowest. It goes on after the link was lost or
        the region has restarted, without loss or repetition. To continue in another run, keep the id of the last event.
        If events that followed have been deleted meanwhile, it says so by an item of the kind `reload`.
        """
        call = EventsCall(
            after=after, level=level, host=None if host is None else str(host), system_id=system_id,
            operation_id=operation_id, kinds=tuple(kinds), username=username, text=text,
        )  # fmt: skip
        return following(self._link, call)

    async def compose(
        self,
        *,
        host: str | int | None = None,
        hostname: str | None = None,
        cores: int | None = None,
        memory_mib: int | None = None,
        storage: str = "",
        power_on: bool = False,
        idempotency_key: str | None = None,
        interfaces: str = "",
        pinned_cores: Iterable[int] = (),
        pin_cores: int | None = None,
        huge_pages_backed: bool = False,
        huge_page_size_mib: int | None = None,
        one_numa_node: bool = False,
        uefi: bool = False,
        secure_boot: bool = False,
        tpm: bool = False,
        affinity: Iterable[str] = (),
        anti_affinity: Iterable[str] = (),
        max_cores: int | None = None,
        max_memory_mib: int | None = None,
        template: str | None = None,
        owner: str | None = None,
        stock: bool = False,
    ) -> OperationSummary:
        """Starts the operation that composes a machine; without `host`, placement chooses one.

        It belongs to the certificate's account, or to `owner`, whom administrators may name. With `stock` it belongs to
        nobody, and operators of its pool may allocate it until somebody has used it.

        It has 1 core and 2048 MiB. With `template`, the id or hostname of a machine that is off, it begins with copies
        of the disks of that one, on its host: what is not given is as the template has it.

        `storage` is a constraint text such as `root:8,data:20(fast)`, in GB; `interfaces` one such as `eth0:space=dmz`.
        `pinned_cores` are host core ids, `pin_cores` a number of cores of one NUMA node. `affinity` and
        `anti_affinity` are groups, such as `db` or `db:soft`. `max_cores` and `max_memory_mib` are what the machine
        can get while it runs. Raises OutOfCapacity with the reasons if no host fits.
        """
        default_cores, default_mib = (0, 0) if template else (1, 2048)
        request = ComposeRequest(
            template=template, hostname=hostname, cores=default_cores if cores is None else cores,
            memory_mib=default_mib if memory_mib is None else memory_mib, storage=storage, power_on=power_on,
            interfaces=interfaces, pinned_cores=tuple(pinned_cores), pin_cores=pin_cores,
            huge_pages_backed=huge_pages_backed, huge_page_size_mib=huge_page_size_mib, one_numa_node=one_numa_node,
            uefi=uefi, secure_boot=secure_boot, tpm=tpm, affinity=tuple(affinity), anti_affinity=tuple(anti_affinity),
            max_cores=max_cores, max_memory_mib=max_memory_mib, owner=owner, stock=stock,
        )  # fmt: skip
        call = ClientComposeCall(
            request=request, host=None if host is None else str(host), idempotency_key=idempotency_key
        )
        return await self._link.call(CLIENT_COMPOSE, call, deadline_s=CALL_S)

    async def power(self, system_id: str, action: PowerAction | str) -> OperationSummary:
        """Starts the operation that powers a machine `on`, `off`, `force_off` or through a `cycle`."""
        request = MachinePowerCall(system_id=system_id, action=PowerAction(action))
        return await self._link.call(CLIENT_POWER, request, deadline_s=CALL_S)

    async def accept_off(self, system_id: str) -> MachineSummary:
        """Returns the machine, which should be off from now on; it does not change. Raises WrongState if it runs."""
        return await self._link.call(CLIENT_ACCEPT_OFF, MachineCall(system_id=system_id), deadline_s=CALL_S)

    async def delete(self, system_id: str) -> OperationSummary:
        """Starts the operation that deletes a machine with its guest and disks."""
        return await self._link.call(CLIENT_DELETE, MachineCall(system_id=system_id), deadline_s=CALL_S)

    async def operation(self, operation_id: int) -> OperationSummary:
        return await self._link.call(CLIENT_OPERATION, OperationCall(operation_id=operation_id), deadline_s=CALL_S)

    async def abandon(self, operation_id: int, comment: str) -> OperationSummary:
        """Ends an operation whose undoing fails again and again, as it is; for administrators. `comment` says why."""
        request = AbandonCall(operation_id=operation_id, comment=comment)
        return await self._link.call(CLIENT_ABANDON, request, deadline_s=CALL_S)

    async def wait(self, operation_id: int, *, deadline_s: float = 600.0) -> OperationSummary:
        """Returns the operation after it has succeeded.

        Raises its error if it failed or was cancelled, and OperationPending after `deadline_s`: the operation
        continues.
        """
        until = time.monotonic() + deadline_s
        request = OperationCall(operation_id=operation_id)
        while (left_s := until - time.monotonic()) > 0:
            try:
                found = await self._link.call(CLIENT_WAIT, request, deadline_s=min(WAIT_CALL_S, left_s))
            except LinkLost:
                if self._link.is_closed:
                    raise
                continue
            except (DeadlineExceeded, OperationPending):
                continue
            if found.state in ENDED:
                return _succeeded(found)
            await asyncio.sleep(WAIT_INTERVAL_S)
        raise OperationPending(
            f"Operation {operation_id} has not ended within {deadline_s:g} s; it continues.", operation_id=operation_id
        )


@asynccontextmanager
async def connect(address: str, *, folder: str | PathLike[str], deadline_s: float = 10.0) -> AsyncIterator[Region]:
    """Connects to the region at `host:port` with the credentials in `folder`; closes the link at the end.

    Renews the certificate in the folder when two thirds of its 7 days have passed. A link that is lost later is made
    again, as `Region` says.

    The folder's authority must have issued the region's certificate. Raises BadSettings for missing or wrong files,
    LinkLost if the connection fails, NotTrusted, NotAllowed or VersionMismatch.
    """
    parsed, path = Address.parse(address), Path(folder)

    async def open_with_folder() -> Link:
        """With the certificate that the folder has now, which may have been renewed."""
        credentials, name = read_identity(path)
        side = Side(role=Role.CLIENT, name=name, limits=Limits(max_sent_bytes=MAX_CLIENT_FRAME_BYTES))
        return await open_link(parsed, MemberTls(credentials), side, deadline_s=deadline_s)

    credentials, name = read_identity(path)
    calls = RegionCalls(await open_with_folder(), open_with_folder)
    renewal = PeriodicTask(
        "certificate_renewal",
        CertificateRenewal(calls, path, credentials, name).renew_if_due,
        every_s=CHECK_EVERY_S,
    )
    renewal.start()
    try:
        yield Region(calls)
    finally:
        await renewal.stop()
        await calls.close()


def _succeeded(found: OperationSummary) -> OperationSummary:
    if found.state == "succeeded":
        return found
    message = found.error_message or f"Operation {found.id} was {found.state}."
    raise rebuild(found.error_code or "error", message, {"operation_id": found.id})
