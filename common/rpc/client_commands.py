"""The commands that the region serves for RPC clients, with their requests and replies."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from common.capacity import Capacity
from common.compose_request import ComposeRequest
from common.rpc.command import Command
from common.rpc.region_commands import RenewCall, Renewed
from common.values import PowerAction


@frozen(kw_only=True)
class Nothing:
    """An empty request."""


@frozen(kw_only=True)
class HostSummary:
    """`cores` and `memory_mib` are what the hardware has, with what all guests of the server claim of it.

    `capacity` says what composes can still get, as the HTTP API does. All are None while unknown.
    """

    id: int
    name: str
    type: str
    cores: int | None
    memory_mib: int | None
    cores_claimed: int
    memory_mib_claimed: int
    state: str
    capacity: Capacity | None = None


@frozen(kw_only=True)
class MachineSummary:
    system_id: str
    hostname: str
    host_id: int | None
    status: str
    power_state: str
    cores: int
    memory_mib: int


@frozen(kw_only=True)
class ClientComposeCall:
    """`host` is an id or a name, in place of `request.host_id`; None lets placement choose the host."""

    request: ComposeRequest
    host: str | None = None
    idempotency_key: str | None = None


@frozen(kw_only=True)
class MachineCall:
    system_id: str


@frozen(kw_only=True)
class MachinePowerCall:
    system_id: str
    action: PowerAction


@frozen(kw_only=True)
class MachineResizeCall:
    """None: the cores or the memory stay as they are."""

    system_id: str
    cores: int | None = None
    memory_mib: int | None = None


@frozen(kw_only=True)
class OperationCall:
    operation_id: int


@frozen(kw_only=True)
class OperationSummary:
    id: int
    kind: str
    state: str
    system_id: str | None
    error_code: str | None = None
    error_message: str | None = None
    result: dict[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class HostList:
    """A part of the hosts."""

    hosts: tuple[HostSummary, ...]


@frozen(kw_only=True)
class MachineList:
    """A part of the machines."""

    machines: tuple[MachineSummary, ...]


CLIENT_LIST_HOSTS = Command("client.list_hosts", Nothing, HostList, streams=True)
CLIENT_LIST_MACHINES = Command("client.list_machines", Nothing, MachineList, streams=True)
CLIENT_COMPOSE = Command("client.compose", ClientComposeCall, OperationSummary)
CLIENT_POWER = Command("client.power", MachinePowerCall, OperationSummary)
CLIENT_RESIZE = Command("client.resize", MachineResizeCall, OperationSummary)
CLIENT_DELETE = Command("client.delete", MachineCall, OperationSummary)
CLIENT_OPERATION = Command("client.operation", OperationCall, OperationSummary)
# Responds when the operation has ended, at the deadline at the latest.
CLIENT_WAIT = Command("client.wait", OperationCall, OperationSummary)
CLIENT_RENEW = Command("client.renew", RenewCall, Renewed)
