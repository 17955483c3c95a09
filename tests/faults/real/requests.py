"""What a caller asks for, and what the caller can learn after whoever was asked has died."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import define, field, frozen

from common.errors import DeadlineExceeded, InnkeeperError, LinkLost
from innkeeper.http import Answer, Body
from tests.faults.daemons import Daemons
from tests.waiting import eventually

ENDED = ("succeeded", "failed", "cancelled")
AGAIN = (None, 503, 504)  # HTTP statuses after which a caller asks again; None: nobody answered
LEARN_S = 100.0


@frozen(kw_only=True)
class Request:
    """`keyed`: it takes an Idempotency-Key, so that a repeat is the same request."""

    path: str
    method: Literal["POST", "DELETE"] = "POST"
    op: str | None = None
    query: Mapping[str, str] = field(factory=dict)
    fields: Mapping[str, str] = field(factory=dict)
    keyed: bool = False


@define(kw_only=True)
class Caller:
    """Somebody who wants one thing done, once, and to know what came of it. `after` is the newest operation before."""

    daemons: Daemons
    request: Request
    kind: str  # of the operation that the request opens
    key: str
    after: int
    asked: int = 0

    async def ask(self) -> Answer | InnkeeperError:
        """As people do, waiting for the end of it."""
        request, self.asked = self.request, self.asked + 1
        query = [*([("op", request.op)] if request.op else []), *request.query.items()]
        body = Body(fields=list(request.fields.items())) if request.fields else None
        headers = {"Idempotency-Key": self.key} if request.keyed else {}
        try:
            return await self.daemons.api.send(request.method, request.path, query=query, body=body, headers=headers)
        except InnkeeperError as error:
            return error

    async def learn(self, first: Answer | InnkeeperError) -> Answer | InnkeeperError | None:
        """The answer to the first request, or to a repeat; None when the operation itself has to be looked at."""
        told = first
        while asks_again(told):
            if not self.request.keyed and await self.operations():
                return None
            told = await eventually(self._answer, deadline_s=LEARN_S, every_s=0.2)
        return told

    async def _answer(self) -> Answer | InnkeeperError | None:
        told = await self.ask()
        if not asks_again(told) or (not self.request.keyed and await self.operations()):
            return told
        return None

    async def operations(self) -> list[Any]:
        """Those of the kind that was asked for, opened since."""
        found = await eventually(self._list, deadline_s=LEARN_S)
        return [one for one in found[0] if one["id"] > self.after and one["kind"] == self.kind]

    async def _list(self) -> tuple[Any] | None:
        answer = await self.daemons.get("operations/")
        return None if answer is None else (answer,)


def asks_again(told: Answer | InnkeeperError) -> bool:
    """Whether the caller cannot know yet."""
    if isinstance(told, Answer):
        return False
    if isinstance(told, LinkLost | DeadlineExceeded):
        return True
    return told.details.get("status") in AGAIN
