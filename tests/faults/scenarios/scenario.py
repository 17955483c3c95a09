"""The interface of a crash scenario: what to prepare, the request, and what must hold at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

from common.errors import InnkeeperError
from common.words.operation_kinds import OperationKind
from innkeeper.answer import Answer
from innkeeper.api_description import Method
from innkeeper.http import relative_path
from tests.faults.scenarios.site import Site


@frozen(kw_only=True)
class Request:
    """One API request."""

    path: str
    method: Method = "POST"
    op: str | None = None
    query: Mapping[str, str] = field(factory=dict)
    fields: Mapping[str, str | list[str]] = field(factory=dict)


@frozen(kw_only=True)
class Response:
    """What the API answered: the operation to follow, or the final answer if there is none."""

    operation_id: int | None = None
    answer: Any = None

    @classmethod
    def by(cls, answer: Answer) -> Response:
        body = answer.json() if answer.body and answer.is_json else None
        if answer.status == 202 and answer.location:
            return cls(operation_id=int(relative_path(answer.location).strip("/").split("/")[-1]), answer=body)
        return cls(answer=body)


@frozen(kw_only=True)
class Outcome:
    """What the caller knows at the end. `state` is the operation's, or `answered` or `rejected` without one."""

    state: str
    operation: Mapping[str, Any] = field(factory=dict)
    answer: Any = None
    error: InnkeeperError | None = None
    requests: int = 1


SUCCEEDS = frozenset({"succeeded"})
ANSWERED = frozenset({"answered"})
SUCCEEDS_OR_ANSWERED = SUCCEEDS | ANSWERED  # a repeat after the end gets the answer instead of the operation


class Scenario(ABC):
    """Stateless: what one cell needs is in the value that `prepare` returns. The runner kills and observes.

    `kinds` are the operations that the scenario starts, its own first. `ends` are the states in which it may end. If
    not `keyed`, it is sent without an Idempotency-Key. `follows` is the kind of the operation on the same machine which
    the end of the first one opens; the caller waits for its end, too.
    """

    name: str
    kinds: tuple[OperationKind, ...] = ()
    ends: frozenset[str] = SUCCEEDS
    keyed: bool = True
    follows: OperationKind | None = None

    @abstractmethod
    async def prepare(self, site: Site) -> Any:
        """Returns the state of one cell, on hosts that may hold machines of other cells."""

    @abstractmethod
    async def submit(self, site: Site, state: Any, key: str) -> Response:
        """Acts once; called again with the same key until there is an answer. Raises InnkeeperError as the API does."""

    @abstractmethod
    async def check(self, site: Site, state: Any, outcome: Outcome) -> Iterable[str]:
        """What is wrong with the result, when no operation is open and all hosts have been refreshed."""

    def changed_guests(self, state: Any) -> frozenset[str]:
        """Names of the guests that gain or lose our marker; no other foreign guest may change."""
        return frozenset()

    async def clear(self, site: Site, state: Any) -> None:  # noqa: B027  # most scenarios leave only machines
        """Removes what `prepare` made, except machines: the runner deletes those."""


class RequestScenario(Scenario):
    """Sends one API request. If it `waits`, its answer is the result, not an operation."""

    waits: bool = False

    @abstractmethod
    async def request(self, site: Site, state: Any) -> Request: ...

    async def known(self, site: Site, state: Any) -> Response | None:
        """What a caller can find out before it sends a request that is not keyed; None if it must send it."""
        return None

    async def answered(self, site: Site, state: Any, answer: Answer) -> Response:
        return Response.by(answer)

    async def submit(self, site: Site, state: Any, key: str) -> Response:
        if (known := await self.known(site, state)) is not None:
            return known
        request = await self.request(site, state)
        sent = await send(site, request, key if self.keyed else None, respond_async=not self.waits)
        return await self.answered(site, state, sent)


class UnkeyedScenario(RequestScenario):
    """A caller that has neither a key nor an answer first finds out whether the request took effect."""

    keyed = False
    waits = True
    ends = ANSWERED


REPEATED = (None, 503, 504)  # HTTP statuses after which a caller repeats its request; None: no answer


async def send(site: Site, request: Request, key: str | None, *, respond_async: bool) -> Answer:
    headers = ({"Idempotency-Key": key} if key is not None else {}) | (
        {"Prefer": "respond-async"} if respond_async else {}
    )
    return await site.deployment.send(
        request.method, request.path, op=request.op, query=request.query.items(), fields=request.fields,
        headers=headers,
    )  # fmt: skip


async def cancel(site: Site, operation_id: Any) -> None:
    """Cancels the operation, without a key. 409 is a success: it is being undone, or it has ended."""
    try:
        await send(site, Request(path=f"operations/{operation_id}/", op="cancel"), None, respond_async=True)
    except InnkeeperError as error:
        if error.details.get("status") != 409:
            raise


def problem(text: str, *, when: bool) -> list[str]:
    return [text] if when else []
