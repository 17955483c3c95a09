"""A caller of the real sample: what it learns after the daemon that it asked was killed."""

from __future__ import annotations

from typing import Any

from attrs import define

from common.errors import DeadlineExceeded, InnkeeperError, LinkLost
from innkeeper.answer import Answer
from tests.faults.scenarios.scenario import REPEATED, Request, RequestScenario, send
from tests.faults.scenarios.site import Site
from tests.support.waiting import eventually


@define(kw_only=True)
class Caller:
    """Sends one request and waits for its end. `after` is the newest operation before."""

    site: Site
    scenario: RequestScenario
    request: Request
    key: str
    after: int

    async def submit(self) -> Answer | InnkeeperError:
        try:
            return await send(self.site, self.request, self.key if self.scenario.keyed else None, respond_async=False)
        except InnkeeperError as error:
            return error

    async def learn(self, first: Answer | InnkeeperError) -> Answer | InnkeeperError | None:
        """The answer to the first request or to a repeat; None if the caller finds the operation in the list."""
        answer = first
        while is_unknown(answer):
            if not self.scenario.keyed and await self.operations():
                return None
            answer = await eventually(self._repeat, every_s=0.2)
        return answer

    async def _repeat(self) -> Answer | InnkeeperError | None:
        answer = await self.submit()
        if not is_unknown(answer) or (not self.scenario.keyed and await self.operations()):
            return answer
        return None

    async def operations(self) -> list[Any]:
        """The operations of the scenario's main kind that were created since."""
        found = await eventually(self._list)
        return [one for one in found[0] if one["id"] > self.after and one["kind"] == self.scenario.kinds[0]]

    async def _list(self) -> tuple[Any] | None:
        answer = await self.site.deployment.poll("operations/")
        return None if answer is None else (answer,)


def is_unknown(answer: Answer | InnkeeperError) -> bool:
    """Whether the answer leaves open if the request took effect."""
    if isinstance(answer, Answer):
        return False
    return isinstance(answer, LinkLost | DeadlineExceeded) or answer.details.get("status") in REPEATED
