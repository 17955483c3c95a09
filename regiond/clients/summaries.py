"""Summaries of hosts, machines and operations that RPC clients read."""

from __future__ import annotations

from common.rpc.commands.client_commands import HostSummary, MachineSummary, OperationSummary
from regiond.hosts.model import HostView
from regiond.machines.values.model import MachineView
from regiond.operations.model import Operation


def host_summary(host: HostView) -> HostSummary:
    return HostSummary(
        id=host.id,
        name=host.name,
        type=host.driver.value,
        cores=host.total.cores if host.total else None,
        memory_mib=host.total.memory_mib if host.total else None,
        cores_claimed=host.claimed.cores,
        memory_mib_claimed=host.all_memory_mib_claimed,
        state=host.state.value,
        capacity=host.capacity,
    )


def machine_summary(machine: MachineView) -> MachineSummary:
    return MachineSummary(
        system_id=machine.system_id,
        hostname=machine.hostname,
        host_id=machine.host_id,
        status=machine.state.value,
        power_state=machine.power_state,
        cores=machine.cores,
        memory_mib=machine.memory_mib,
        wanted_power=None if machine.wanted_power is None else machine.wanted_power.word,
    )


def operation_summary(operation: Operation) -> OperationSummary:
    return OperationSummary(
        id=operation.id,
        kind=operation.kind.value,
        state=operation.state.value,
        system_id=operation.system_id,
        error_code=operation.error_code,
        error_message=operation.error_message,
        result=dict(operation.result),
    )
