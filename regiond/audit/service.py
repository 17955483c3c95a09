"""Records requests in the audit trail; lists, exports, verifies and prunes it."""

from __future__ import annotations

import asyncio
import getpass
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import structlog
from attrs import define, evolve

from common.errors import DatabaseUnavailable, InnkeeperError
from common.rate_limit import RateLimiter
from regiond.audit import chain, redaction, redaction_store, store
from regiond.audit.model import (
    AuditAnswer,
    AuditEntry,
    AuditFilter,
    AuditRequest,
    AuditResult,
    RawEntry,
    RecordedFields,
    Redaction,
    RedactionReport,
    answer_text,
    request_text,
)
from regiond.audit.repetitions import Rejection, Repetitions
from regiond.db.pool import Database, reading
from regiond.process.batcher import Batcher
from regiond.requests.caller import Caller

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

RETENTION = timedelta(days=365)
MAX_PAGE = 1000
MAX_UNWRITTEN = 1000
MAX_BATCH = 100
MAX_REDACTED = 5000
MAX_REDACTION_PAGES = 50  # of 1,000 requests: a call ends within a proxy's patience
REDACTION_BATCH = 100  # others cannot append meanwhile
_PRUNE_BATCH = 5000
NO_FIELDS: Mapping[str, str] = {}
_STRANGERS_EVERY_S = 0.2  # of all addresses together: 432,000 entries a day at most
_STRANGER_EVERY_S = 1.0  # of one address


@define
class Begun:
    """The operation that a recorded request has begun, if any."""

    operation_id: int | None = None


class Audit:
    """A request is recorded before it runs: what cannot be recorded is not executed.

    `clock` is monotonic, in seconds. `recorded` are the fields of each action that may have values here.
    """

    def __init__(
        self,
        database: Database,
        *,
        retention: timedelta = RETENTION,
        clock: Callable[[], float] = time.monotonic,
        recorded: Mapping[str, RecordedFields] | None = None,
    ) -> None:
        self._database = database
        self._recorded_fields = recorded or {}
        self.retention = retention
        self._unwritten: list[str] = []
        self._entries: Batcher[str, int] = Batcher(self._write, limit=MAX_BATCH, name="write audit entries")
        self._repetitions = Repetitions()
        self._not_recorded = 0
        self.answered_id = 0  # the newest request of this region that succeeded
        self._on_appended: Callable[[], None] | None = None
        self._strangers = RateLimiter(every_s=_STRANGERS_EVERY_S, clock=clock)
        self._stranger = RateLimiter(every_s=_STRANGER_EVERY_S, clock=clock)

    @property
    def unwritten(self) -> int:
        """The number of entries that could not be written yet."""
        return len(self._unwritten)

    def on_appended(self, call: Callable[[], None]) -> None:
        """Calls `call` after entries were written by this region."""
        self._on_appended = call

    async def begin(self, request: AuditRequest) -> int:
        """Records a request that is about to run and returns the id of its entry. Raises DatabaseUnavailable.

        The entry is durable before whatever the request commits, see the function `audit_append`.
        """
        return await self._entries.submit(request_text(request))

    async def end(self, entry_id: int, answer: AuditAnswer) -> None:
        """Records the answer. Never raises: without the database, it is logged and recorded with a later entry."""
        if answer.result is AuditResult.OK:
            self.answered_id = max(self.answered_id, entry_id)
        await self._append_or_retain(answer_text(entry_id, answer))

    async def record(self, request: AuditRequest, answer: AuditAnswer) -> None:
        """Records a request that was answered without running. Never raises, as `end`.

        Those without an account are limited: anyone can send them. The next entry of one counts those left out. Equal
        rejections of an account are counted until `write_repeated`.
        """
        if request.username is None:
            if not (self._stranger.allow(request.address) and self._strangers.allow("all")):
                self._not_recorded += 1
                return
            request = evolve(request, not_recorded=self._not_recorded)
            self._not_recorded = 0
        elif answer.result is AuditResult.REJECTED:
            await self._append_each(self._repetitions.take(request, answer))
            return
        await self._append_or_retain(request_text(request, answer))

    async def write_repeated(self) -> None:
        """Records how often rejected requests were repeated since the last call. Call it each minute and at the end."""
        await self._append_each(self._repetitions.flush())

    @asynccontextmanager
    async def recorded(self, request: AuditRequest, fields: Mapping[str, str] = NO_FIELDS) -> AsyncIterator[Begun]:
        """Records the request, and at the end of the block its answer: an error of the block is its result.

        `fields` are recorded unless the request is rejected. The block may name the operation that it has begun.
        """
        entry_id = await self.begin(request)
        begun = Begun()
        answer = AuditAnswer(result=AuditResult.FAILED, error=InnkeeperError.code, fields=fields)
        try:
            yield begun
            answer = AuditAnswer(result=AuditResult.OK, operation_id=begun.operation_id, fields=fields)
        except InnkeeperError as error:
            result = AuditResult.FAILED if error.retryable else AuditResult.REJECTED
            accepted = fields if error.retryable else NO_FIELDS
            answer = AuditAnswer(result=result, error=error.code, fields=accepted)
            raise
        finally:
            await self.end(entry_id, answer)

    async def list(self, caller: Caller, wanted: AuditFilter) -> tuple[AuditEntry, ...]:
        """Returns the requests that match, at most 1,000, newest first by default. Administrators only."""
        caller.require_admin()
        limited = evolve(wanted, limit=max(1, min(wanted.limit, MAX_PAGE)))
        async with self._database.connection() as db:
            return await store.select(db, limited)

    async def count(self, caller: Caller, wanted: AuditFilter) -> int:
        """Returns the number of requests that match, at most the limit of `wanted`. Administrators only."""
        caller.require_admin()
        async with self._database.connection() as db:
            return await store.count(db, wanted)

    async def export(self, caller: Caller, *, after_id: int, limit: int) -> tuple[RawEntry, ...]:
        """Returns the rows after an id, oldest first, at most 1,000. Administrators only."""
        caller.require_admin()
        async with self._database.connection() as db:
            return await store.raw_entries(db, after_id=after_id, limit=max(1, min(limit, MAX_PAGE)))

    verify = reading(chain.verify)

    async def redact(
        self, caller: Caller, wanted: Redaction, *, after_id: int = 0, dry_run: bool = False
    ) -> RedactionReport:
        """Replaces values of old requests by `(redacted)`, in batches; records that.

        A call redacts some 5,000 requests and reads at most 50,000, which takes some seconds.
        It begins after the request `after_id`, so that further calls do not read again what earlier ones have.

        The chain of hashes still proves that nothing else was changed. Administrators only. Idempotent. Raises NotFound
        and InvalidRequest for an id that is not that of such a request, WrongState for one that was changed by hand.
        """
        caller.require_admin()
        async with self._database.connection() as db:
            await redaction_store.check(db, wanted)
        requests = 0
        for _ in range(MAX_REDACTION_PAGES):
            async with self._database.connection() as db:
                found = await redaction_store.read(db, wanted, after_id=after_id, limit=MAX_PAGE)
                accounts = await redaction_store.accounts(db, found)
            if not found:
                return RedactionReport(requests=requests)
            targets = [
                one for each in found if (one := redaction.target(each, wanted, self._recorded_fields, accounts))
            ]
            requests += len(targets) if dry_run else await self._redact(caller, targets, wanted.comment)
            after_id = found[-1].id
            if requests >= MAX_REDACTED:
                break
        return RedactionReport(requests=requests, after_id=after_id)

    async def _redact(self, caller: Caller, targets: Sequence[redaction.Target], comment: str) -> int:
        requests = 0
        for start in range(0, len(targets), REDACTION_BATCH):
            async with self._database.transaction() as db:
                batch = targets[start : start + REDACTION_BATCH]
                requests += await redaction_store.redact(db, batch, caller=caller, comment=comment)
        return requests

    async def prune(self) -> int:
        """Deletes entries older than the retention, in batches. Returns the number deleted. Idempotent."""
        removed = await self._database.in_batches(
            lambda db, limit: store.prune(db, self.retention, limit=limit), batch_rows=_PRUNE_BATCH
        )
        if removed:
            log.info("audit_pruned", entries=removed, retention_days=self.retention.days)
        return removed

    async def _write(self, contents: Sequence[str]) -> Sequence[int]:
        """Appends what could not be written before, then `contents`. Returns the ids of the latter."""
        delayed = tuple(self._unwritten)
        async with self._database.connection() as db:
            first_id = await store.append(db, [*delayed, *contents]) + len(delayed)
        del self._unwritten[: len(delayed)]
        if self._on_appended is not None:
            self._on_appended()
        return range(first_id, first_id + len(contents))

    async def _append_each(self, rejections: Iterable[Rejection]) -> None:
        await asyncio.gather(*(self._append_or_retain(request_text(*one)) for one in rejections))

    async def _append_or_retain(self, content: str) -> None:
        try:
            await self._entries.submit(content)
        except DatabaseUnavailable as error:
            log.error("audit_entry_delayed", entry=content, reason=error.message)  # noqa: TRY400  # no bug: expected
            self._unwritten = [*self._unwritten, content][:MAX_UNWRITTEN]
        except Exception:  # a bug: the request was answered already, and the log has what the trail lacks
            log.exception("audit_entry_lost", entry=content)


def local_request(command: str, *, object_: str = "") -> AuditRequest:
    """A command on the region's computer: its account is that of the operating system."""
    return AuditRequest(
        action=f"regiond.{command}",
        username=os.environ.get("SUDO_USER") or getpass.getuser(),
        credential="operating system",
        address="local",
        request_id=uuid4().hex,
        object=object_,
    )
