"""Runs a request with an idempotency key once, whichever region receives its repeats, and keeps its answer.

A request that opens operations ties its key to the operation, in the transaction that opens it: the database shows at
any moment whether the request was executed. Any other request is recorded before it runs, with a lease; its answer is
recorded after.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from common.errors import AnswerNotKept, Busy, DatabaseUnavailable, IdempotencyMismatch, RequestInProgress
from common.process.periodic import PeriodicTask
from regiond.credentials.rewrap import REQUEST_KEY, answer_name
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.operations.idempotency import store
from regiond.operations.idempotency.model import IdempotencyKey, KeptAnswer, StoredKey, Verdict, decide
from regiond.requests.caller import Caller

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

WAIT_S = 8.0  # for an equal request; some clients give up after 10 s
RENEW_EVERY_S = 10.0
_FIRST_POLL_S, _LONGEST_POLL_S = 0.05, 1.0
_KEY_BYTES = 32
_INSTALLATION = 0


async def tie_key(db: Db, key: IdempotencyKey | None, operation_id: int) -> None:
    """Ties the key, if any, to the operation, in the transaction that opens it.

    Raises Busy if another request with the key has just committed; the transaction must then roll back.
    """
    if key is None:
        return
    if not await store.tie(db, key, operation_id):
        raise Busy(f"Another request with the idempotency key {key.text!r} is in progress. Try again.")
    key.is_tied = True


async def find_operation(db: Db, key: IdempotencyKey) -> int | None:
    """Returns the operation that an equal request opened. Raises IdempotencyMismatch if another request has the key."""
    stored = await store.find(db, key)
    if decide(stored, key.digest) is Verdict.MISMATCH:
        raise _mismatch(key, stored)
    return None if stored is None else stored.operation_id


class IdempotencyKeys:
    """The keys of all accounts. `request_key` is the HMAC key of the digests, which must not reveal passwords."""

    def __init__(self, database: Database, credentials: Credentials, request_key: bytes) -> None:
        self._database = database
        self._credentials = credentials
        self._request_key = request_key

    @classmethod
    async def open(cls, database: Database, credentials: Credentials) -> IdempotencyKeys:
        new = credentials.seal_data(_INSTALLATION, REQUEST_KEY, os.urandom(_KEY_BYTES))
        async with database.transaction() as db:
            sealed = await store.request_key(db, new)
        return cls(database, credentials, credentials.unseal_data(_INSTALLATION, REQUEST_KEY, sealed))

    def key_of(self, caller: Caller, text: str, request: bytes) -> IdempotencyKey:
        """Returns the key of the request. `request` has, in a fixed form, all that distinguishes two requests."""
        digest = hmac.digest(self._request_key, request, "sha256")
        return IdempotencyKey(account_id=caller.account_id, text=text, digest=digest)

    async def begin(self, key: IdempotencyKey, *, opens_operation: bool) -> KeptAnswer | None:
        """Returns the kept answer; None if the request is to run. Sets `key.operation_id` if its operation was opened.

        Waits at most 8 s for an equal request that runs, then raises RequestInProgress. Raises IdempotencyMismatch, and
        AnswerNotKept if an equal request ran and its answer is not known. After a request that is to run, call `keep`,
        `release` or `abandon`. A request that `opens_operation` is not recorded before it opens the operation.
        """
        until_s, pause_s = time.monotonic() + WAIT_S, _FIRST_POLL_S
        while True:
            async with self._database.connection() as db:
                stored = await store.find(db, key)
                verdict = decide(stored, key.digest)
                if verdict is Verdict.RUN and not opens_operation:
                    key.is_recorded = await store.begin(db, key)
            if verdict is Verdict.RUN and (opens_operation or key.is_recorded):
                return None
            if verdict is Verdict.MISMATCH:
                raise _mismatch(key, stored)
            if verdict is Verdict.UNKNOWN:
                raise _unknown(key)
            if verdict is Verdict.JOIN and stored is not None:
                key.operation_id = stored.operation_id
                return None
            if stored is not None and stored.sealed_answer is not None:
                return self._opened(key, stored.sealed_answer)
            if time.monotonic() > until_s:
                raise RequestInProgress(
                    f"The first request with the idempotency key {key.text!r} still runs. Repeat it later to get its "
                    "answer."
                )
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_POLL_S)

    @asynccontextmanager
    async def running(self, key: IdempotencyKey) -> AsyncIterator[None]:
        """Keeps the lease of a recorded request while the block runs."""
        if not key.is_recorded:
            yield
            return

        async def renew() -> None:
            async with self._database.connection() as db:
                await store.renew(db, key)

        task = PeriodicTask("idempotency_lease", renew, every_s=RENEW_EVERY_S, first_after_s=RENEW_EVERY_S)
        task.start()
        try:
            yield
        finally:
            await task.stop()

    async def keep(self, key: IdempotencyKey, answer: KeptAnswer) -> None:
        """Keeps the answer of a request that succeeded, unless its key is tied to an operation.

        Never raises DatabaseUnavailable: if the answer cannot be stored, a repeat gets AnswerNotKept after the lease.
        """
        if key.is_tied:
            return
        name = answer_name(key.text)
        sealed = self._credentials.seal_data(key.account_id, name, answer.bounded().packed())
        try:
            async with self._database.transaction() as db:
                await store.keep(db, key, sealed)
        except DatabaseUnavailable as error:
            log.warning("idempotent_answer_not_kept", reason=error.message)

    async def release(self, key: IdempotencyKey) -> None:
        """Deletes the record of a request that failed and changed nothing. Never raises DatabaseUnavailable."""
        if not key.is_recorded:
            return
        try:
            async with self._database.connection() as db:
                await store.end(db, key)
        except DatabaseUnavailable as error:
            log.warning("idempotency_key_not_released", reason=error.message)

    async def abandon(self, key: IdempotencyKey) -> None:
        """Records that the result of the request is unknown. Never raises DatabaseUnavailable: the lease will end."""
        if not key.is_recorded:
            return
        try:
            async with self._database.connection() as db:
                await store.renew(db, key, timedelta())
        except DatabaseUnavailable as error:
            log.warning("idempotency_key_not_abandoned", reason=error.message)

    def _opened(self, key: IdempotencyKey, sealed: bytes) -> KeptAnswer:
        data = self._credentials.unseal_data(key.account_id, answer_name(key.text), sealed)
        answer = KeptAnswer.unpacked(data)
        if answer.body is None:
            raise AnswerNotKept(
                f"The first request with the idempotency key {key.text!r} succeeded with status {answer.status}, but "
                "its answer was too long to be kept. Read the object instead."
            )
        return answer


def _mismatch(key: IdempotencyKey, stored: StoredKey | None) -> IdempotencyMismatch:
    operation_id = None if stored is None else stored.operation_id
    used = "" if operation_id is None else f" (operation {operation_id})"
    return IdempotencyMismatch(
        f"The idempotency key {key.text!r} was used for another request{used}; use a new key for a new request.",
        **({} if operation_id is None else {"operation": operation_id}),
    )


def _unknown(key: IdempotencyKey) -> AnswerNotKept:
    return AnswerNotKept(
        f"The first request with the idempotency key {key.text!r} ended without a known result: the region stopped, or "
        "lost its database, while it ran. This key gets no other answer. Read the object, the operations that the "
        "request opens, or the audit trail, to see whether it was done; if it was not, send it with a new key."
    )
