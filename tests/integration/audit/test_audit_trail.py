"""The audit trail: a chain that only grows, in which every change by hand is found."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise

import asyncpg
import pytest
from attrs import evolve

from common.errors import NotFound
from regiond.audit.model import AuditAnswer, AuditFilter, AuditRequest, AuditResult
from regiond.audit.service import Audit
from regiond.db.pool import Database
from regiond.requests.caller import Caller
from tests.postgresql.database import execute_as_superuser
from tests.support.clock import Clock

pytestmark = pytest.mark.database

ADMIN = Caller(account_id=1, username="ada", is_admin=True)
OK = AuditAnswer(result=AuditResult.OK, status=200)
_BY_HAND = "set session_replication_role = replica; {}; set session_replication_role = origin"


def asked(action: str = "Machine.lock", *, username: str | None = "ada", object_: str = "machines/m1") -> AuditRequest:
    return AuditRequest(
        action=action, username=username, credential="API key k", address="192.0.2.7", request_id="r", object=object_,
        object_name="web", fields={"comment": 'quiet "night"\0 \ud800 é'},
    )  # fmt: skip


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database)


async def filled(audit: Audit, number: int = 5) -> None:
    for _ in range(number):
        await audit.end(await audit.begin(asked()), OK)


async def by_hand(database_url: str, statement: str) -> None:
    """What a superuser can do who knows of the triggers."""
    await execute_as_superuser(database_url, _BY_HAND.format(statement))


async def test_concurrent_requests_form_one_chain(audit: Audit, database: Database) -> None:
    other_region = Audit(database)
    ids = await asyncio.gather(*((audit, other_region)[number % 2].begin(asked()) for number in range(60)))
    assert sorted(ids) == list(range(1, 61))
    report = await audit.verify()
    assert (report.first_id, report.head_id, report.problems) == (1, 60, ())


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("update audit_entry set content = replace(content, 'ada', 'bob') where id = 3", "Entry 3 was changed"),
        ("update audit_entry set at = at - interval '1 hour' where id = 4", "Entry 4 was changed"),
        ("delete from audit_entry where id in (4, 5)", "Entries 4 to 5 are missing"),
        ("delete from audit_entry where id = 10", "ends with entry 9, but its last entry was 10"),
        ("delete from audit_entry where id < 4", "Entries 1 to 3 are missing"),
        (
            "delete from audit_entry where id < 4; update audit_chain set pruned_id = 3,"
            " pruned_hash = (select previous_hash from audit_entry where id = 4)",
            "Entries up to 3 were removed, but no entry records",
        ),
        (
            "update audit_entry set id = id + 1000 where id > 4; insert into audit_entry (id, at, content,"
            " previous_hash, hash) select 5, at, content, (select hash from audit_entry where id = 4), sha256('x')"
            " from audit_entry where id = 3; update audit_entry set id = id - 999 where id > 1000;"
            " update audit_chain set head_id = 11",
            "Entry 6 does not follow entry 5",
        ),
        ("delete from audit_chain", "newest entry is missing"),
    ],
    ids=["changed", "moved in time", "removed", "end removed", "start removed", "start hidden", "inserted", "no head"],
)
async def test_every_change_by_hand_is_found(audit: Audit, database_url: str, statement: str, problem: str) -> None:
    await filled(audit)
    await by_hand(database_url, statement)
    problems = (await audit.verify()).problems
    assert any(problem in one for one in problems), problems


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_entry set content = '{}'",
        "delete from audit_entry",
        "truncate audit_entry",
        "insert into audit_entry (id, at, content, previous_hash, hash) values (99, now(), '{}', '', '')",
        "update audit_chain set head_id = 0",
        "delete from audit_chain",
        "truncate audit_chain",
    ],
)
@pytest.mark.needs_owner
async def test_the_database_rejects_everything_but_appending(audit: Audit, database: Database, statement: str) -> None:
    await filled(audit)
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        async with database.connection() as db:
            await db.execute(statement)
    assert (await audit.verify()).problems == ()


@pytest.mark.parametrize(
    "statements",
    [
        "select audit_append(array['{}']); delete from audit_entry where id = 5",
        "select audit_prune(interval '0', 2); delete from audit_entry where id = 5",
    ],
)
@pytest.mark.needs_owner
async def test_the_transaction_of_an_entry_may_write_nothing_else(
    audit: Audit, database: Database, statements: str
) -> None:
    await filled(audit)
    async with database.connection() as db:
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await db.execute(statements)


async def test_a_pruned_trail_is_complete_and_says_what_was_pruned(audit: Audit, database: Database) -> None:
    await filled(audit)
    assert await Audit(database, retention=timedelta(0)).prune() == 9  # the newest stays
    report = await audit.verify()
    assert (report.first_id, report.problems) == (10, ())
    newest = (await audit.list(ADMIN, AuditFilter()))[0]
    assert (newest.request.action, newest.answer.result) == ("audit.prune", AuditResult.OK)
    await filled(audit, 1)
    assert (await audit.verify()).problems == ()


async def test_young_entries_are_not_pruned(audit: Audit) -> None:
    await filled(audit)
    assert await audit.prune() == 0


async def test_a_request_is_listed_with_its_answer(audit: Audit) -> None:
    entry_id = await audit.begin(asked())
    (running,) = await audit.list(ADMIN, AuditFilter())
    assert (running.answer.result, running.answered_at) == (AuditResult.UNKNOWN, None)
    await audit.end(entry_id, AuditAnswer(result=AuditResult.OK, status=202, operation_id=7))
    (answered,) = await audit.list(ADMIN, AuditFilter())
    assert answered.answer == AuditAnswer(result=AuditResult.OK, status=202, operation_id=7)
    assert (answered.request.object_name, answered.request.credential) == ("web", "API key k")
    assert answered.request.fields["comment"].startswith('quiet "night"')


async def test_lists_are_filtered_and_paged(audit: Audit) -> None:
    await audit.end(await audit.begin(asked()), OK)
    await audit.end(await audit.begin(asked("VmHost.refresh", username="bob", object_="vm-hosts/4")), OK)
    await audit.record(asked(object_="machines/m1/x"), AuditAnswer(result=AuditResult.REJECTED, status=403))

    async def ids(**wanted: object) -> list[int]:
        return [one.id for one in await audit.list(ADMIN, AuditFilter(**wanted))]  # type: ignore[arg-type]  # by name

    assert await ids() == [5, 3, 1]
    assert await ids(username="bob") == [3]
    assert await ids(action="Machine.lock") == [5, 1]
    assert await ids(object="machines/m1") == [5, 1]
    assert await ids(object="vm-hosts/4") == [3]
    assert await ids(object="web") == [5, 3, 1]
    assert await ids(result=AuditResult.REJECTED) == [5]
    assert await ids(before_id=5, limit=1) == [3]
    assert await ids(oldest_first=True) == [1, 3, 5]
    assert await ids(oldest_first=True, after_id=1, limit=1) == [3]
    assert await audit.count(ADMIN, AuditFilter(action="Machine.lock")) == 2
    assert await audit.count(ADMIN, AuditFilter(limit=2)) == 2
    at = (await audit.list(ADMIN, AuditFilter(username="bob")))[0].at
    assert (await ids(since=at), await ids(until=at)) == ([5, 3], [1])


async def test_exported_rows_can_be_verified_without_the_database(audit: Audit) -> None:
    await filled(audit, 3)
    rows = await audit.export(ADMIN, after_id=0, limit=4)
    rows += await audit.export(ADMIN, after_id=rows[-1].id, limit=4)
    assert [row.id for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(row.own_hash == row.hash for row in rows)
    assert all(before.hash == after.previous_hash for before, after in pairwise(rows))


async def test_requests_of_strangers_are_limited_and_counted(database: Database) -> None:
    clock = Clock()
    audit = Audit(database, clock=clock)
    rejected = AuditAnswer(result=AuditResult.REJECTED, status=401)
    for _ in range(20):
        await audit.record(asked(username=None), rejected)
    assert len(await audit.list(ADMIN, AuditFilter())) == 1
    await audit.record(asked(), rejected)  # of an account: always
    assert len(await audit.list(ADMIN, AuditFilter())) == 2
    clock.now += 1
    await audit.record(asked(username=None), rejected)
    assert (await audit.list(ADMIN, AuditFilter()))[0].request.not_recorded == 19


async def test_repeated_rejections_of_an_account_are_counted(audit: Audit) -> None:
    rejected = AuditAnswer(result=AuditResult.REJECTED, status=403, error="not_allowed")
    for number in range(20):
        await audit.record(evolve(asked(), request_id=f"r{number}"), rejected)
    await audit.record(asked(object_="machines/m2"), rejected)
    await audit.record(asked(username="bob"), rejected)
    await audit.record(asked(), evolve(rejected, status=400))
    assert len(await audit.list(ADMIN, AuditFilter())) == 4
    await audit.write_repeated()
    last = (await audit.list(ADMIN, AuditFilter()))[0]
    assert (last.id, last.request.request_id, last.request.not_recorded) == (5, "r19", 18)
    await audit.record(asked(), rejected)
    for _ in range(3):
        await audit.write_repeated()
    assert len(await audit.list(ADMIN, AuditFilter())) == 6
    await audit.record(asked(), rejected)
    assert (await audit.list(ADMIN, AuditFilter()))[0].request.not_recorded == 0
    assert (await audit.verify()).problems == ()


async def test_what_was_not_rejected_is_always_recorded(audit: Audit) -> None:
    for _ in range(3):
        await audit.record(asked(), AuditAnswer(result=AuditResult.FAILED, status=503))
        await audit.end(await audit.begin(asked()), AuditAnswer(result=AuditResult.REJECTED, status=409))
    assert len(await audit.list(ADMIN, AuditFilter())) == 6


async def test_a_block_is_recorded_with_its_error(audit: Audit) -> None:
    with pytest.raises(NotFound):
        async with audit.recorded(asked()):
            raise NotFound("There is no such account.")
    (entry,) = await audit.list(ADMIN, AuditFilter())
    assert (entry.answer.result, entry.answer.error) == (AuditResult.REJECTED, NotFound.code)
