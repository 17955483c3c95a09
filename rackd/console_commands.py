"""Handles the region's commands for the consoles of guests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.rpc.commands import HOST_CONSOLE_LOG, MAX_CONSOLE_LOG_BYTES, Command, ConsoleLog, ConsoleLogCall
from common.rpc.handlers import Handler
from rackd.executor import Executor
from rackd.host_queue import CallClass

LOG_DEADLINE_S = 30.0


class ConsoleCommands:
    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def handlers(self) -> Mapping[Command[Any, Any], Handler]:
        return {HOST_CONSOLE_LOG: self.log}

    async def log(self, _: Any, call: ConsoleLogCall) -> ConsoleLog:
        max_bytes = max(1, min(call.max_bytes, MAX_CONSOLE_LOG_BYTES))
        content = await self._executor.run(
            call.access,
            lambda driver: driver.console_log(call.guest, max_bytes=max_bytes),
            what="read console log",
            deadline_s=LOG_DEADLINE_S,
            call_class=CallClass.QUICK,
        )
        return ConsoleLog(content=content[-max_bytes:])
