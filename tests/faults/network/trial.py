"""Runs one case: breaks the wire, waits until the fault is noticed, heals it, and examines what has become of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from attrs import asdict, define, field, frozen

from common.errors import InnkeeperError
from tests.deployment.deployment import ENDED, Deployment
from tests.deployment.runner import RACK, REGION
from tests.faults.network.cases import LIMITS, WORDS, Action, Case, Moment
from tests.faults.network.site import Link, Site
from tests.faults.network.wire import Fault
from tests.support.waiting import eventually

MOST_TRIES = 10
SPARE_DESCRIPTORS = 12  # how many more a daemon may have open than before: a full pool, connections that end
_OPEN = "select id, kind, state from operation where is_open or lease_owner is not null"


class GuestHost(Protocol):
    """The host on which the operations run."""

    @property
    def id(self) -> int: ...
    def names(self) -> list[str]: ...
    def volumes(self) -> list[str]: ...
    def is_on(self, name: str) -> bool: ...
    def in_the_middle_of(self, action: Action) -> AbstractContextManager[Callable[[], Awaitable[bool]]]:
        """The host does not complete the call of the action, if it can be held, until the block ends.

        Yields whether the call has begun.
        """


class _MissedError(Exception):
    """A refresh, or the connection for events, found the host that stands still before the operation's call began."""

    def __init__(self, operation_id: int) -> None:
        super().__init__(operation_id)
        self.operation_id = operation_id


def _new_name() -> str:
    return f"m{uuid4().hex[:8]}"


@frozen(kw_only=True)
class Measured:
    """What the fault did, for the results: `answer` is the status of the request, `said` the words of the failure."""

    case: str
    answered_s: float
    noticed_s: float | None
    recovered_s: float
    said: str


@define(kw_only=True)
class Trial:
    site: Site
    host: GuestHost
    case: Case
    name: str = field(factory=_new_name)
    _said: list[str] = field(factory=list)

    @property
    def deployment(self) -> Deployment:
        return self.site.deployment

    async def run(self) -> Measured:
        """Raises AssertionError if anything was left, done twice, or took too long."""
        for _ in range(MOST_TRIES):
            try:
                return await self._run_once()
            except _MissedError as missed:
                await self._start_over(missed.operation_id)
        raise AssertionError(f"{MOST_TRIES} times, the host was found unreachable before the call began")

    async def _run_once(self) -> Measured:
        machine = None if self.case.action is Action.COMPOSE else await self._composed()
        before = self._descriptors()
        request = self._request(machine)
        with ExitStack() as stack:
            operation_id, answered_s = await self._begun(request, stack)
            began = time.monotonic()
            noticed_s = None
            if operation_id is None:
                noticed_s = answered_s  # the answer has said so
            elif self.case.fault is Fault.DELAY:
                assert await self.deployment.ended(operation_id, deadline_s=LIMITS.recovered_s) == "succeeded"
            else:
                await eventually(lambda: self._is_noticed(operation_id), every_s=0.2)
                noticed_s = answered_s + time.monotonic() - began
                assert self._said or not self._has_to_be_noticed(), "the fault came after the operation"
        healed = time.monotonic()
        if operation_id is None:
            operation_id = (await eventually(lambda: self._accepted(request), every_s=0.1))["id"]
        state = await self.deployment.ended(operation_id, deadline_s=LIMITS.recovered_s)
        recovered_s = time.monotonic() - healed
        assert state == "succeeded", await self.deployment.get(f"operations/{operation_id}/")
        await self._examine(machine, before)
        return Measured(
            case=str(self.case), answered_s=round(answered_s, 2), recovered_s=round(recovered_s, 2),
            noticed_s=None if noticed_s is None else round(noticed_s, 2), said=" | ".join(self._said),
        )  # fmt: skip

    async def _begun(self, request: Any, stack: ExitStack) -> tuple[int | None, float]:
        """Sends the request and breaks the wire, in the order of the case; `stack` heals it.

        Returns the operation, None if the region could not accept the request, and after how long it answered.
        """
        faulty = self.site.wires[self.case.link].faulty(self.case.fault)
        if self.case.moment is Moment.BEFORE:
            stack.enter_context(faulty)
            sent = time.monotonic()
            operation_id = await self._requested(request)
            answered_s = time.monotonic() - sent
            assert answered_s < LIMITS.answered_s
            return operation_id, answered_s
        with self.host.in_the_middle_of(self.case.action) as is_begun:
            operation_id = int((await request())["id"])

            async def is_begun_or_missed() -> bool:
                if await is_begun():
                    return True
                if await self._host_is_ready():
                    return False
                raise _MissedError(operation_id)

            await eventually(is_begun_or_missed)
            stack.enter_context(faulty)
        return operation_id, 0.0

    async def _start_over(self, operation_id: int) -> None:
        """The host continues, and the operation ends as without a fault. A further one begins on a host as before."""
        assert await self.deployment.ended(operation_id, deadline_s=LIMITS.recovered_s) == "succeeded"
        for machine in await self.deployment.get("machines/"):
            await self.deployment.delete(f"machines/{machine['system_id']}/")
        await eventually(self._host_is_ready)
        self.name = _new_name()

    async def _composed(self) -> Any:
        return await self.deployment.compose(self.host.id, cores=1, memory=1024, hostname=self.name)

    def _request(self, machine: Any) -> Any:
        """A function that sends the request, always with the same key, and returns the operation."""
        headers = {"Idempotency-Key": self.name, "Prefer": "respond-async"}
        fields: dict[str, Any] | None = None
        op: str | None = None
        match self.case.action:
            case Action.COMPOSE:
                method, path, op = "POST", f"vm-hosts/{self.host.id}/", "compose"
                fields = {"cores": 1, "memory": 1024, "hostname": self.name}
            case Action.POWER:
                method, path, op = "POST", f"machines/{machine['system_id']}/", "power_on"
            case Action.DELETE:
                method, path = "DELETE", f"machines/{machine['system_id']}/"

        async def send() -> Any:
            answer = await self.deployment.send(method, path, op=op, fields=fields, headers=headers)  # type: ignore[arg-type]
            return answer.json()

        return send

    async def _requested(self, request: Any) -> int | None:
        """The id of the operation; None if the region has answered that it cannot, in words."""
        try:
            return int((await request())["id"])
        except InnkeeperError as error:
            if error.details["status"] != 503 or self.case.link is not Link.DATABASE:
                raise
            self._say(error.message)
            return None

    def _say(self, message: str) -> None:
        assert WORDS[self.case.link] in message, message
        if message not in self._said:
            self._said.append(message)

    async def _accepted(self, request: Any) -> Any:
        try:
            return await request()
        except InnkeeperError as error:
            self._say(error.message)
            return None

    def _has_to_be_noticed(self) -> bool:
        """Only half-open connections can let those packets pass that the operation still needs."""
        return self.case.fault in (Fault.BLACK_HOLE, Fault.CUT) or self.case.link is Link.HOST

    async def _is_noticed(self, operation_id: int | None) -> bool:
        """Whether the region says so, to clients and in the reason for which the operation waits."""
        if self.case.link is Link.DATABASE:
            try:
                await self.deployment.get("zones/")
            except InnkeeperError as error:
                self._say(error.message)
                return True
            return False
        operation = await self.deployment.get(f"operations/{operation_id}/")
        if operation["state"] in ENDED:
            return True  # the packets that mattered had passed
        if (reason := operation["wait_reason"]) and WORDS[self.case.link] in reason:
            self._say(reason)
            return True
        return False

    async def _examine(self, machine: Any, before: dict[str, int]) -> None:
        deployment = self.deployment
        await eventually(deployment.is_linked)
        await eventually(self._host_is_ready)
        await eventually(self._nothing_open)
        names = self.host.names()
        match self.case.action:
            case Action.COMPOSE:
                assert names == [self.name]
                (machine,) = [one for one in await deployment.get("machines/") if one["hostname"] == self.name]
            case Action.POWER:
                assert names == [self.name]
                assert self.host.is_on(self.name)
            case Action.DELETE:
                assert names == []
        if names:
            await deployment.delete(f"machines/{machine['system_id']}/")
        assert self.host.names() == self.host.volumes() == []
        assert await deployment.get("machines/") == []
        assert await deployment.ledger_problems() == []
        assert await deployment.discrepancies() == []
        await eventually(lambda: self._extra_descriptors(before) <= SPARE_DESCRIPTORS)

    async def _host_is_ready(self) -> bool:
        host = await self.deployment.get(f"vm-hosts/{self.host.id}/")
        return bool(host["state"] == "ready")

    async def _nothing_open(self) -> bool:
        return not await self.deployment.fetch(_OPEN)

    def _descriptors(self) -> dict[str, int]:
        running = self.deployment.processes.running
        return {name: len(os.listdir(f"/proc/{running[name].pid}/fd")) for name in (REGION, RACK)}

    def _extra_descriptors(self, before: dict[str, int]) -> int:
        return max(now - before[name] for name, now in self._descriptors().items())


def record(measured: Measured, folder: Path) -> None:
    """Appends the figures to a file of results, from which the page's table was made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "network.jsonl").open("a") as file:
        print(json.dumps(asdict(measured), ensure_ascii=False), file=file)
