"""Serves the RPC commands: racks join and renew certificates, clients act for their account."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar
from uuid import uuid4

from attrs import evolve, fields
from structlog.contextvars import get_contextvars

from common.errors import InnkeeperError, NotFound, OperationPending
from common.guests.compose_request import ComposeRequest
from common.rpc.call_context import REQUEST_ID
from common.rpc.commands.client_commands import (
    CLIENT_ABANDON,
    CLIENT_ACCEPT_OFF,
    CLIENT_CLONE,
    CLIENT_COMPOSE,
    CLIENT_DELETE,
    CLIENT_DOWNLOAD,
    CLIENT_EVENTS,
    CLIENT_LIST_HOSTS,
    CLIENT_LIST_MACHINES,
    CLIENT_OPERATION,
    CLIENT_POWER,
    CLIENT_RENEW,
    CLIENT_RESIZE,
    CLIENT_WAIT,
    AbandonCall,
    ClientComposeCall,
    DownloadCall,
    DownloadedPart,
    EventPart,
    EventsCall,
    HostList,
    MachineCall,
    MachineList,
    MachinePowerCall,
    MachineResizeCall,
    MachineSummary,
    Nothing,
    OperationCall,
    OperationSummary,
    Released,
)
from common.rpc.commands.command import Command, Done
from common.rpc.commands.region_commands import (
    CONTENT_READ,
    DEPLOYMENT_REPORT,
    DEPLOYMENT_USER_DATA,
    RACK_JOIN,
    RACK_RENEW,
    ContentPart,
    ContentRead,
    JoinCall,
    Joined,
    RenewCall,
    Renewed,
    ReportCall,
    UserDataCall,
)
from common.rpc.handlers import Handlers
from common.rpc.link import Link
from common.serialization import to_dict
from common.trust.certificates import Role
from regiond.api.services import Services
from regiond.audit.model import NOT_RECORDED, AuditRequest, RecordedFields, clipped, recorded_text
from regiond.clients import changes as client_changes
from regiond.clients import deployments as client_deployments
from regiond.clients import events as client_events
from regiond.clients import ownership as client_ownership
from regiond.clients.summaries import host_summary, machine_summary, operation_summary
from regiond.machines.values.resize import SizeRequest
from regiond.machines.values.search import MachineFilter
from regiond.operations.model import Operation
from regiond.racks.rack_content import RackContent
from regiond.requests.audience import error_shown_to, texts_shown_to
from regiond.requests.caller import Caller, Permission, check_object, check_role
from regiond.requests.request_limits import RequestLimits
from regiond.requests.validation_messages import no_object

WAIT_S = 60.0  # limits a handler; the client repeats the call

# Each command needs the permission of the API endpoint that does the same; lists show only what the caller may see.
PERMISSIONS: Mapping[str, Permission] = {
    CLIENT_LIST_HOSTS.name: Permission.USER,
    CLIENT_LIST_MACHINES.name: Permission.USER,
    CLIENT_COMPOSE.name: Permission.OPERATOR,
    CLIENT_POWER.name: Permission.OWNER,
    CLIENT_RESIZE.name: Permission.OWNER,
    CLIENT_DELETE.name: Permission.OWNER,
    CLIENT_OPERATION.name: Permission.USER,
    CLIENT_WAIT.name: Permission.USER,
    CLIENT_ABANDON.name: Permission.ADMIN,
    CLIENT_ACCEPT_OFF.name: Permission.OWNER,
    CLIENT_DOWNLOAD.name: Permission.USER,
    CLIENT_EVENTS.name: Permission.USER,
    **client_changes.PERMISSIONS,
    **client_deployments.PERMISSIONS,
    **client_ownership.PERMISSIONS,
}
EXPENSIVE = frozenset(one.name for one in (CLIENT_LIST_HOSTS, CLIENT_LIST_MACHINES, CLIENT_COMPOSE, CLIENT_CLONE))
RECORDED = frozenset({
    *(one.name for one in fields(ComposeRequest)), "action", "comment", "host",
    *client_changes.RECORDED, *client_deployments.RECORDED, *client_ownership.RECORDED,
})  # fmt: skip
AUDITED = frozenset({
    CLIENT_COMPOSE.name, CLIENT_POWER.name, CLIENT_RESIZE.name, CLIENT_DELETE.name, CLIENT_ACCEPT_OFF.name,
    CLIENT_ABANDON.name,
    *client_changes.PERMISSIONS, *client_deployments.PERMISSIONS, *client_ownership.PERMISSIONS,
})  # fmt: skip

Answer = Callable[[Caller, Any], Awaitable[Any]]
Q = TypeVar("Q")
R = TypeVar("R")


class RpcCommands:
    """The command handlers, by the role of the peer."""

    def __init__(self, services: Services, content: RackContent, limits: RequestLimits) -> None:
        self._services = services
        self._content = content
        self._limits = limits

    def handlers(self) -> Mapping[Role, Handlers]:
        return {
            Role.ANONYMOUS: {RACK_JOIN: self._join},
            Role.RACK: {
                RACK_RENEW: self._renew,
                CONTENT_READ: self._read_content,
                DEPLOYMENT_REPORT: self._report,
                DEPLOYMENT_USER_DATA: self._user_data,
            },
            Role.CLIENT: {
                command: self._as_caller(command, answer) for command, answer in self._client_commands().items()
            }
            | {
                CLIENT_LIST_HOSTS: self._streamed(CLIENT_LIST_HOSTS, self._each_host),
                CLIENT_LIST_MACHINES: self._streamed(CLIENT_LIST_MACHINES, self._each_machine),
                CLIENT_DOWNLOAD: self._streamed(CLIENT_DOWNLOAD, self._download),
                CLIENT_EVENTS: self._streamed(CLIENT_EVENTS, self._events),
                CLIENT_RENEW: self._renew_client,
            },
        }

    def _client_commands(self) -> Mapping[Command[Any, Any], Answer]:
        changes = {
            **client_changes.ChangeCommands(self._services).commands(),
            **client_deployments.DeploymentCommands(self._services).commands(),
        }
        return {
            CLIENT_COMPOSE: self._compose,
            CLIENT_POWER: self._power,
            CLIENT_RESIZE: self._resize,
            **{command: _summarized(begin) for command, begin in changes.items()},
            **client_ownership.OwnershipCommands(self._services).commands(),
            CLIENT_ACCEPT_OFF: self._accept_off,
            CLIENT_DELETE: self._delete,
            CLIENT_OPERATION: self._operation,
            CLIENT_WAIT: self._wait,
            CLIENT_ABANDON: self._abandon,
        }

    async def _join(self, _: Link, call: JoinCall) -> Joined:
        return await self._services.racks.enrol(call)

    async def _renew(self, link: Link, call: RenewCall) -> Renewed:
        return await self._services.racks.renew(link.peer.id, call)

    async def _read_content(self, _: Link, wanted: ContentRead) -> ContentPart:
        return await self._content.read(wanted)

    async def _report(self, _: Link, call: ReportCall) -> Done:
        await self._services.deployments.report(call.deployment_id, call.secret, vm_host=call.vm_host)
        return Done()

    async def _user_data(self, _: Link, call: UserDataCall) -> AsyncGenerator[ContentPart, None]:
        async with aclosing(await self._services.deployments.user_data(call.deployment_id, call.secret)) as chunks:
            async for chunk in chunks:
                yield ContentPart(data=chunk)

    async def _renew_client(self, link: Link, call: RenewCall) -> Renewed:
        return await self._services.rpc_clients.renew(link.peer, call)

    async def _caller(self, link: Link, command: Command[Any, Any]) -> Caller:
        """Reads the account and its roles at each call, so that a revoked one is rejected at once; limits calls."""
        self._limits.take_client(link.peer.id)
        caller = await self._services.rpc_clients.caller_of(link.peer)
        self._limits.take(caller)
        if command.name in EXPENSIVE:
            self._limits.take_expensive(caller)
        check_role(PERMISSIONS[command.name], caller)
        return caller

    def _as_caller(
        self, command: Command[Q, R], answer: Callable[[Caller, Q], Awaitable[R]]
    ) -> Callable[[Link, Any], Awaitable[R]]:
        """Returns a handler that calls `answer` as the account of the link.

        The audit trail records a call that changes something before it runs, and its result after. The answer and the
        error have only what the account may see.
        """

        async def handle(link: Link, request: Q) -> R:
            caller = await self._caller(link, command)
            try:
                shown: R = texts_shown_to(caller, await run(caller, link, request))
            except InnkeeperError as error:
                raise error_shown_to(caller, error) from error
            return shown

        async def run(caller: Caller, link: Link, request: Q) -> R:
            if command.name not in AUDITED:
                return await answer(caller, request)
            given = _audit_fields(request)
            asked = _audit_request(command.name, caller, link, request, given)
            async with self._services.audit.recorded(asked, given) as begun:
                answered = await answer(caller, request)
                operation = answered.operation if isinstance(answered, Released) else answered
                if isinstance(operation, OperationSummary):
                    begun.operation_id = operation.id
                return answered

        return handle

    def _streamed(
        self, command: Command[Q, R], stream: Callable[[Caller, Any], AsyncGenerator[R, None]]
    ) -> Callable[[Link, Any], AsyncGenerator[R, None]]:
        """Returns a handler that sends the items of `stream` to the account of the link."""

        async def handle(link: Link, request: Q) -> AsyncGenerator[R, None]:
            caller = await self._caller(link, command)
            try:
                async with aclosing(stream(caller, request)) as items:
                    async for item in items:
                        yield texts_shown_to(caller, item)
            except InnkeeperError as error:
                raise error_shown_to(caller, error) from error

        return handle

    async def _each_host(self, caller: Caller, _: Nothing) -> AsyncGenerator[HostList, None]:
        async with aclosing((await self._services.hosts.long_list(caller=caller)).batches()) as batches:
            async for batch in batches:
                yield HostList(hosts=tuple(host_summary(host) for host in batch))

    async def _each_machine(self, caller: Caller, _: Nothing) -> AsyncGenerator[MachineList, None]:
        found = await self._services.machines.long_list(MachineFilter(), caller=caller, owner_data=False)
        async with aclosing(found.batches()) as batches:
            async for batch in batches:
                yield MachineList(machines=tuple(machine_summary(one) for one in batch))

    async def _download(self, caller: Caller, call: DownloadCall) -> AsyncGenerator[DownloadedPart, None]:
        async with aclosing(client_deployments.downloaded(self._services, caller, call)) as parts:
            async for part in parts:
                yield part

    async def _events(self, caller: Caller, call: EventsCall) -> AsyncGenerator[EventPart, None]:
        async with aclosing(client_events.followed(self._services, caller, call)) as parts:
            async for part in parts:
                yield part

    async def _compose(self, caller: Caller, call: ClientComposeCall) -> OperationSummary:
        host_id = None if call.host is None else await self._host_id(caller, call.host)
        request = evolve(call.request, host_id=host_id)
        key = client_changes.idempotency_key(self._services, caller, call.idempotency_key, CLIENT_COMPOSE, request)
        return operation_summary(await self._services.composer.start_compose(caller, request, idempotency_key=key))

    async def _power(self, caller: Caller, call: MachinePowerCall) -> OperationSummary:
        await self._check_machine(PERMISSIONS[CLIENT_POWER.name], caller, call.system_id)
        return operation_summary(await self._services.machines.start_power(caller, call.system_id, call.action))

    async def _resize(self, caller: Caller, call: MachineResizeCall) -> OperationSummary:
        await self._check_machine(PERMISSIONS[CLIENT_RESIZE.name], caller, call.system_id)
        size = SizeRequest(
            cores=call.cores, memory_mib=call.memory_mib, pinned_cores=call.pinned_cores or None,
            pin_cores=call.pin_cores, huge_pages=call.huge_pages_backed, huge_page_size_mib=call.huge_page_size_mib,
        )  # fmt: skip
        return operation_summary(await self._services.hardware.start(caller, call.system_id, size))

    async def _accept_off(self, caller: Caller, call: MachineCall) -> MachineSummary:
        await self._check_machine(PERMISSIONS[CLIENT_ACCEPT_OFF.name], caller, call.system_id)
        return machine_summary(await self._services.wanted_powers.accept_off(caller, call.system_id))

    async def _delete(self, caller: Caller, call: MachineCall) -> OperationSummary:
        await self._check_machine(PERMISSIONS[CLIENT_DELETE.name], caller, call.system_id)
        return operation_summary(await self._services.machines.start_delete(caller, call.system_id))

    async def _operation(self, caller: Caller, call: OperationCall) -> OperationSummary:
        return operation_summary(await self._services.operations.read(call.operation_id, caller=caller))

    async def _wait(self, caller: Caller, call: OperationCall) -> OperationSummary:
        """Returns the operation when it has ended, at the latest after WAIT_S."""
        await self._services.operations.read(call.operation_id, caller=caller)
        try:
            return operation_summary(
                await self._services.operations.wait(call.operation_id, timeout_s=WAIT_S, caller=caller)
            )
        except OperationPending:
            return operation_summary(await self._services.operations.read(call.operation_id, caller=caller))

    async def _abandon(self, caller: Caller, call: AbandonCall) -> OperationSummary:
        return operation_summary(await self._services.operations.abandon(caller, call.operation_id, call.comment))

    async def _host_id(self, caller: Caller, id_or_name: str) -> int:
        found = (await self._services.hosts.ids_of([id_or_name], caller=caller))[id_or_name]
        if not found:
            raise NotFound(no_object("VM host", id_or_name, near=await self._services.hosts.names(caller=caller)))
        host_id = min(found)
        if not caller.is_admin:
            check_object(
                PERMISSIONS[CLIENT_COMPOSE.name], caller, await self._services.hosts.read(host_id, caller=caller)
            )
        return host_id

    async def _check_machine(self, permission: Permission, caller: Caller, system_id: str) -> None:
        if not caller.is_admin:
            check_object(permission, caller, await self._services.machines.read(system_id, caller=caller))


def recorded_by_action() -> Mapping[str, RecordedFields]:
    """Returns the fields whose values may be recorded, of each command that is recorded."""
    return {name: RecordedFields(texts=RECORDED) for name in AUDITED}


def _audit_fields(request: object) -> Mapping[str, str]:
    """Returns the given fields; the audit trail may have their values if the request is not rejected."""
    given = to_dict(request)
    given |= given.pop("request", {})
    return {
        name: recorded_text(value)
        for name, value in given.items()
        if name in RECORDED and value not in (None, "", [], ())
    }


def _audit_request(command: str, caller: Caller, link: Link, request: object, given: Mapping[str, str]) -> AuditRequest:
    system_id = to_dict(request).get("system_id")
    return AuditRequest(
        action=command,
        username=caller.username,
        credential=clipped(f"RPC client {link.peer.name}, certificate {link.peer.fingerprint}"),
        address=link.remote_host,
        request_id=str(get_contextvars().get(REQUEST_ID) or uuid4().hex),
        object="" if system_id is None else recorded_text(f"machines/{system_id}"),
        fields=dict.fromkeys(given, NOT_RECORDED),
    )


def _summarized(begin: Callable[[Caller, Q], Awaitable[Operation]]) -> Callable[[Caller, Q], Awaitable[Any]]:
    async def answer(caller: Caller, request: Q) -> OperationSummary:
        return operation_summary(await begin(caller, request))

    return answer
