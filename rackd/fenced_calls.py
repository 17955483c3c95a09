"""Runs the calls that change a host, each with its fencing token."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar
from uuid import UUID

import structlog

from common.rpc.commands.command import Done
from common.rpc.commands.host_commands import MAX_CALL_S, Fence
from common.rpc.commands.host_method import CallClass
from common.tracing.spans import code_of
from common.values import HostAccess
from rackd.drivers.contract import Driver
from rackd.executor import Executor
from rackd.fencing_tokens import FencingTokens

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

T = TypeVar("T")


class FencedRequest(Protocol):
    """A request that changes a host."""

    @property
    def access(self) -> HostAccess: ...
    @property
    def fence(self) -> Fence: ...


class FencedCalls:
    def __init__(self, executor: Executor, tokens: FencingTokens) -> None:
        self._executor = executor
        self._tokens = tokens

    async def run(
        self,
        call: FencedRequest,
        work: Callable[[Driver], T],
        *,
        what: str,
        call_class: CallClass = CallClass.ORDERED,
    ) -> T:
        """Returns or raises what `work` does with the host's driver. Raises StaleAttempt after a newer attempt.

        The machine is that of the fencing token.
        """
        access, fence = call.access, call.fence
        self._tokens.admit(fence)

        def fenced(driver: Driver) -> T:
            self._tokens.check(fence)  # a newer attempt may have arrived while this one was queued
            subject = {"host_id": access.host_id, "machine_id": fence.machine_id}
            attempt = {"operation": fence.operation_id, "attempt": fence.attempt}
            log.info("host_call_started", what=what, **subject, **attempt)
            began_at, code = time.monotonic(), None
            try:
                return work(driver)
            except BaseException as error:
                code = code_of(error)
                raise
            finally:
                duration_ms = round((time.monotonic() - began_at) * 1000, 1)
                log.info("host_call_ended", what=what, **subject, **attempt, duration_ms=duration_ms, code=code)

        return await self._executor.run(
            access,
            fenced,
            what=what,
            deadline_s=MAX_CALL_S,
            call_class=call_class,
            machine_id=UUID(fence.machine_id),
        )

    async def change(
        self,
        call: FencedRequest,
        work: Callable[[Driver], None],
        *,
        what: str,
        call_class: CallClass = CallClass.ORDERED,
    ) -> Done:
        """Returns the empty response when `work` has returned. Raises as `run`."""
        await self.run(call, work, what=what, call_class=call_class)
        return Done()

    async def exclude_older(self, fence: Fence) -> None:
        """Returns when no older attempt acts on the machine; those that come later are rejected.

        Raises StaleAttempt after a newer attempt.
        """
        self._tokens.admit(fence)
        await self._executor.ended(UUID(fence.machine_id))
