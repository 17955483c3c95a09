"""An operation stores the id of the request that opened it, and its span if the request is traced."""

from __future__ import annotations

import asyncio

import pytest
from attrs import define
from structlog.contextvars import bound_contextvars

from common.tracing.spans import NO_ATTRIBUTES, become_current
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database, Db
from regiond.operations import intent_store
from regiond.operations.intent_store import current_origin
from regiond.operations.model import ErrorRecord, NewOperation, Parent
from tests.integration.support.ledger_fixture import prepare
from tests.integration.support.rigs.scripted_operations import acquire, open_operation

pytestmark = pytest.mark.database

TRACEPARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
KIND = OperationKind.POWER


@define
class OpenSpan:
    """The current span of a request, without an exporter."""

    traceparent: str = TRACEPARENT
    trace_id: str = TRACEPARENT[3:35]
    is_open: bool = True

    def child(self, *_: object) -> None:
        return None

    def ended_child(self, *_: object, **__: object) -> None:
        pass

    def describe(self, attributes: object = NO_ATTRIBUTES, *, name: str | None = None) -> None:
        pass

    def end(self, code: str | None = None) -> None:
        pass


async def open_by_every_statement(database: Database) -> None:
    ledger = await prepare(database)
    machine_id = await ledger.must_claim(0, 1, 64)
    await open_operation(database)
    [parent] = await acquire(database)
    async with database.transaction() as db:
        account_id = await db.fetchval("insert into account (username) values ('ann') returning id")
        await intent_store.insert_failed_child(
            db, KIND, Parent(id=parent.id, attempt=parent.attempt), account_id=None, system_id="abc123",
            hostname="elm", request={}, error=ErrorRecord(code="busy", message="No."),
        )  # fmt: skip
        await intent_store.insert_succeeded(
            db, KIND, host_id=None, host_name=None, machine_id=machine_id, system_id="abc123", hostname="elm",
            account_id=account_id, request={}, result={},
        )  # fmt: skip
        await intent_store.record_rejected(
            db, KIND, account_id=account_id, request={}, explanation=None, code="busy", message="No."
        )
        new = NewOperation(
            host_id=ledger.hosts[0], host_name="a", machine_id=machine_id, system_id="abc123", hostname="elm",
            account_id=account_id, username="ann", request={}, explanation={}, max_failures=1, origin=current_origin(),
        )  # fmt: skip
        [opened] = await intent_store.insert_several(db, KIND, [new])
    assert (opened.request_id, opened.traceparent) == (new.origin.request_id, new.origin.traceparent)


async def origins(db: Db) -> list[tuple[str | None, str | None, int]]:
    return [
        tuple(row) for row in await db.fetch("select request_id, traceparent, count(*) from operation group by 1, 2")
    ]


async def _traced(database: Database) -> None:
    become_current(OpenSpan())
    with bound_contextvars(request_id="a-1"):
        await open_by_every_statement(database)


async def test_every_operation_stores_its_request_and_span(database: Database) -> None:
    await asyncio.create_task(_traced(database))
    async with database.connection() as db:
        assert await origins(db) == [("a-1", TRACEPARENT, 5)]


async def test_without_traces_only_the_request_is_stored(database: Database) -> None:
    with bound_contextvars(request_id="a-1"):
        await open_by_every_statement(database)
    async with database.connection() as db:
        assert await origins(db) == [("a-1", None, 5)]
