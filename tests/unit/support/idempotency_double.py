"""Idempotency keys in memory, by the same decision as the real ones. They never wait."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import evolve, field, frozen

from common.errors import AnswerNotKept, IdempotencyMismatch, RequestInProgress
from regiond.operations.idempotency.model import IdempotencyKey, KeptAnswer, StoredKey, Verdict, decide
from regiond.requests.caller import Caller


@frozen
class KeysInMemory:
    stored: dict[tuple[int, str], StoredKey] = field(factory=dict)

    def key_of(self, caller: Caller, text: str, request: bytes) -> IdempotencyKey:
        return IdempotencyKey(account_id=caller.account_id, text=text, digest=hashlib.sha256(request).digest())

    async def begin(self, key: IdempotencyKey, *, opens_operation: bool) -> KeptAnswer | None:
        stored = self.stored.get((key.account_id, key.text))
        verdict = decide(stored, key.digest)
        if verdict is Verdict.MISMATCH:
            raise IdempotencyMismatch("used for another request")
        if verdict is Verdict.UNKNOWN:
            raise AnswerNotKept("nobody knows")
        if verdict is Verdict.WAIT:
            raise RequestInProgress("still runs")
        if stored is not None and stored.sealed_answer is not None:
            answer = KeptAnswer.unpacked(stored.sealed_answer)
            if answer.body is None:
                raise AnswerNotKept("too long")
            return answer
        if stored is not None:
            key.operation_id = stored.operation_id
        elif not opens_operation:
            key.is_recorded = True
            self.stored[key.account_id, key.text] = StoredKey(digest=key.digest)
        return None

    @asynccontextmanager
    async def running(self, _: IdempotencyKey) -> AsyncIterator[None]:
        yield

    async def keep(self, key: IdempotencyKey, answer: KeptAnswer) -> None:
        now = self.stored.get((key.account_id, key.text))
        if now is None or now.operation_id is None:
            packed = answer.bounded().packed()
            self.stored[key.account_id, key.text] = StoredKey(digest=key.digest, sealed_answer=packed)

    async def release(self, key: IdempotencyKey) -> None:
        if key.is_recorded:
            del self.stored[key.account_id, key.text]

    async def abandon(self, key: IdempotencyKey) -> None:
        if key.is_recorded:
            place = key.account_id, key.text
            self.stored[place] = evolve(self.stored[place], is_abandoned=True)
