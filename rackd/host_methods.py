"""Handles the commands that are declared as one call of a driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.rpc.commands import hardware_commands, host_commands
from common.rpc.commands.command import Command
from common.rpc.commands.host_commands import MAX_CALL_S
from common.rpc.commands.host_method import HostMethod
from common.rpc.handlers import Handler
from rackd.drivers.contract import Driver
from rackd.executor import Executor
from rackd.fenced_calls import FencedCalls

HOST_METHODS: tuple[HostMethod[Any, Any], ...] = tuple(
    declared
    for module in (host_commands, hardware_commands)
    for declared in vars(module).values()
    if isinstance(declared, HostMethod)
)


def method_handlers(executor: Executor, fenced: FencedCalls) -> Mapping[Command[Any, Any], Handler]:
    return {method: _handler(method, executor, fenced) for method in HOST_METHODS}


def _handler(method: HostMethod[Any, Any], executor: Executor, fenced: FencedCalls) -> Handler:
    names, is_fenced = method.arguments, method.is_fenced

    async def handle(_: Any, call: Any) -> Any:
        def work(driver: Driver) -> Any:
            return getattr(driver, method.method)(**{name: getattr(call, name) for name in names})

        if is_fenced:
            result = await fenced.run(call, work, what=method.what, call_class=method.call_class)
        else:
            result = await executor.run(
                call.access, work, what=method.what, deadline_s=MAX_CALL_S, call_class=method.call_class
            )
        return method.reply_of(result)

    return handle
