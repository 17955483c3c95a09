"""Sends a request that changes something until it is answered: once, or with its idempotency key again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from uuid import uuid4

from attrs import evolve, field, frozen

from common.errors import InnkeeperError
from innkeeper.answer import Answer
from innkeeper.api_description import Method
from innkeeper.arguments import MAX_KEY_CHARS, MAX_KEY_OF_SEVERAL_CHARS, Options
from innkeeper.commands import repeats
from innkeeper.http import Api
from innkeeper.output.terminal import Terminal
from innkeeper.request_body import Body

HEADER = "Idempotency-Key"


@frozen(kw_only=True)
class Changes:
    """The changes of one command. `key` is the one with which a user repeats the command.

    Each of several requests has a key of its own, which ends with `suffix`. They share the time for repeats, so that a
    region that is away does not delay each of them, and `noted`: what was said of one is not said of the next.
    """

    api: Api
    key: str
    note: Callable[[str], None]
    suffix: str = ""
    period: repeats.Period = field(factory=repeats.Period)
    noted: set[str] = field(factory=set)
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    @classmethod
    def of(cls, api: Api, options: Options, terminal: Terminal) -> Changes:
        """With the key of the command line, or a new one."""
        return cls(api=api, key=options.idempotency_key or str(uuid4()), note=terminal.note)

    def of_object(self, path: str) -> Changes:
        """Returns the changes for the request to `path`, one of several. In the key, a hash stands for a long path."""
        is_short = len(path) <= MAX_KEY_CHARS - MAX_KEY_OF_SEVERAL_CHARS - 1
        return evolve(self, suffix=f":{path if is_short else sha256(path.encode()).hexdigest()}")

    async def send(
        self,
        method: Method,
        path: str,
        *,
        query: Sequence[tuple[str, str | bytes]] = (),
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Returns a 2xx response. A request without an answer is sent again, as `repeats` decides.

        Raises as `Api.send`; the message of an error that leaves the outcome open says how to repeat the command.
        """
        attempts = repeats.Attempts(request=f"{method} {path}", key=self.key, period=self.period)
        keyed = {**(headers or {}), HEADER: self.key + self.suffix}
        try:
            while True:
                try:
                    return await self.api.send(method, path, query=query, body=body, headers=keyed)
                except InnkeeperError as error:
                    pause_s = attempts.pause_after_s(error, now_s=self.clock())
                    if pause_s is None:
                        raise attempts.outcome(error) from error
                    self._note(repeats.note(error, pause_s))
                    await self.pause(pause_s)
        except asyncio.CancelledError:
            self.note(attempts.interrupted())
            raise

    def _note(self, text: str) -> None:
        if not self.suffix or text not in self.noted:
            self.note(text)
        self.noted.add(text)
