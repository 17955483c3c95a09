"""Values in old entries of the audit trail are redacted, and the chain still shows any other change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import pytest
from attrs import evolve

from common.errors import InvalidRequest, NotAllowed, NotFound, WrongState
from regiond.audit.model import (
    AuditAnswer,
    AuditEntry,
    AuditFilter,
    AuditResult,
    RecordedFields,
    Redaction,
    RedactionReport,
    recorded_text,
    request_text,
)
from regiond.audit.service import Audit
from regiond.db.pool import Database, connect
from tests.integration.audit.test_audit_trail import ADMIN, OK, asked, by_hand

pytestmark = pytest.mark.database

PLANTED = "hunter2"
REDACTED = "(redacted)"
REJECTED = AuditAnswer(result=AuditResult.REJECTED, status=400)
LISTED = {"Machine.deploy": RecordedFields(texts=frozenset({"comment"}), fixed=frozenset({"verbose"}))}

_REPLACED = "update audit_entry set content = replace(content,"
_SET = "update audit_entry set content = '{}', redacted_by = {} where id = 1"


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database, recorded=LISTED)


async def add(audit: Audit, fields: Mapping[str, str], *, answer: AuditAnswer = OK) -> int:
    entry_id = await audit.begin(evolve(asked("Machine.deploy"), fields=fields))
    await audit.end(entry_id, answer)
    return entry_id


async def redact(audit: Audit, *ids: int, fields: tuple[str, ...] = (), unlisted: bool = False) -> int:
    wanted = Redaction(entry_ids=ids, fields=fields, unlisted=unlisted, comment="leaked")
    return (await audit.redact(ADMIN, wanted)).requests


async def entry_of(audit: Audit, entry_id: int) -> AuditEntry:
    return next(one for one in await audit.list(ADMIN, AuditFilter()) if one.id == entry_id)


async def everything(audit: Audit) -> str:
    return str(await audit.export(ADMIN, after_id=0, limit=1000))


async def test_a_field_is_redacted_and_the_rest_of_the_entry_stays(audit: Audit) -> None:
    entry_id = await add(
        audit, {"user_data": PLANTED, "verbose": "true"}, answer=evolve(OK, fields={"comment": PLANTED})
    )
    before = await entry_of(audit, entry_id)
    assert await redact(audit, entry_id, fields=("user_data", "comment")) == 1
    after = await entry_of(audit, entry_id)
    fields = {"user_data": REDACTED, "verbose": "true", "comment": REDACTED}
    answer = evolve(before.answer, fields={"comment": REDACTED})
    assert after == evolve(before, request=evolve(before.request, fields=fields), answer=answer, redacted_by=3)
    assert PLANTED not in await everything(audit)


async def test_a_redaction_is_recorded_with_who_and_why(audit: Audit) -> None:
    entry_id = await add(audit, {"user_data": PLANTED})
    await redact(audit, entry_id, fields=("user_data",))
    newest = (await audit.list(ADMIN, AuditFilter()))[0]
    assert (newest.request.action, newest.request.username, newest.answer.result) == (
        "audit.redact", ADMIN.username, AuditResult.OK,
    )  # fmt: skip
    assert newest.request.fields == {"comment": "leaked"}
    assert await redact(audit, entry_id, fields=("user_data",)) == 0
    assert (await audit.verify()).head_id == newest.id


async def test_the_chain_is_complete_after_redactions(audit: Audit) -> None:
    ids = [await add(audit, {"user_data": PLANTED, "key": PLANTED}) for _ in range(4)]
    before = await audit.export(ADMIN, after_id=0, limit=100)
    await redact(audit, ids[1], fields=("user_data",))
    await redact(audit, ids[1], ids[2])
    report = await audit.verify()
    assert (report.problems, report.redacted) == ((), 2)
    rows = await audit.export(ADMIN, after_id=0, limit=100)
    assert [row.hash for row in rows[: len(before)]] == [row.hash for row in before]
    assert all(one.hash == other.previous_hash for one, other in pairwise(rows))


async def test_an_exported_redaction_can_be_verified_without_the_database(audit: Audit) -> None:
    entry_id = await add(audit, {"user_data": PLANTED})
    await redact(audit, entry_id)
    rows = {row.id: row for row in await audit.export(ADMIN, after_id=0, limit=100)}
    row = rows[entry_id]
    assert row.redacted_by is not None
    assert row.own_hash != row.hash
    record = json.loads(rows[row.redacted_by].content)
    assert record["redacted"] == [{"id": entry_id, "hash": row.own_hash.hex()}]


async def test_a_whole_request_is_redacted_with_the_names_of_its_fields(audit: Audit) -> None:
    entry_id = await add(audit, {PLANTED: "x"})
    await redact(audit, entry_id)
    assert (await entry_of(audit, entry_id)).request.fields == {"(all)": REDACTED}


async def test_a_field_is_redacted_in_all_requests(audit: Audit) -> None:
    ids = [await add(audit, {"user_data": PLANTED, "comment": "night"}) for _ in range(3)]
    await add(audit, {"comment": "night", "user_data": "(not recorded)"})
    assert await audit.redact(ADMIN, Redaction(fields=("user_data",)), dry_run=True) == RedactionReport(requests=3)
    assert PLANTED in await everything(audit)
    assert await redact(audit, fields=("user_data",)) == len(ids)
    assert PLANTED not in await everything(audit)
    assert (await entry_of(audit, ids[0])).request.fields["comment"] == "night"


async def test_what_is_not_recorded_today_is_redacted(audit: Audit) -> None:
    kept = await add(audit, {"verbose": "true", "comment": "night"})
    numbers = await add(audit, {"verbose": "true"}, answer=REJECTED)
    deployed = await add(audit, {"user_data": PLANTED, "comment": "night"})
    rejected = await add(audit, {"verbose": "true", "comment": PLANTED}, answer=REJECTED)
    await audit.record(evolve(asked("Machine.deploy"), fields={"verbose": PLANTED}), REJECTED)
    await audit.begin(evolve(asked("Machine.forgotten"), fields={"anything": PLANTED}))
    assert await redact(audit, unlisted=True) == 4
    assert PLANTED not in await everything(audit)
    assert (await entry_of(audit, kept)).redacted_by is None
    assert (await entry_of(audit, numbers)).redacted_by is None
    assert (await entry_of(audit, deployed)).request.fields == {"user_data": REDACTED, "comment": "night"}
    assert (await entry_of(audit, rejected)).request.fields == {"verbose": "true", "comment": REDACTED}
    assert (await audit.verify()).problems == ()
    assert await redact(audit, unlisted=True) == 0


async def test_accepted_texts_that_have_secrets_of_addresses_are_redacted(audit: Audit) -> None:
    signed, key, token = [
        await add(audit, {"comment": text})
        for text in (f"https://x/y.img?Signature={PLANTED}", f"-----BEGIN-----\n{PLANTED}", f"https://{PLANTED}@h/")
    ]
    await add(audit, {"comment": recorded_text(f"https://x/y.img?Signature={PLANTED}")})
    await add(audit, {"comment": recorded_text("night " * 100)})
    assert await redact(audit, unlisted=True) == 3
    assert [(await entry_of(audit, one)).request.fields for one in (signed, key, token)] == [{"comment": REDACTED}] * 3


async def test_a_call_that_finds_little_says_where_to_continue(
    audit: Audit, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regiond.audit.service.MAX_REDACTION_PAGES", 2)
    text = json.dumps({"action": "Machine.deploy", "username": "ada", "fields": {"comment": "night"}, "result": "ok"})
    async with database.connection() as db:
        await db.execute("select audit_append(array_fill($1::text, array[2500]))", text)
    wanted = Redaction(fields=("user_data",), comment="leaked")
    assert await audit.redact(ADMIN, wanted) == RedactionReport(requests=0, after_id=2000)
    assert await audit.redact(ADMIN, wanted, after_id=2000) == RedactionReport(requests=0)


async def test_a_password_typed_as_a_user_name_is_redacted(audit: Audit) -> None:
    failed = AuditAnswer(result=AuditResult.REJECTED, status=401)
    await audit.record(asked("session.log_in", username=PLANTED), failed)
    await audit.record(evolve(asked(username=None), credential=f"API key {PLANTED}"), failed)
    await audit.record(asked(), failed)
    await redact(audit, 1, 2, 3)
    kept, wrong_key, login = [one.request for one in (await audit.list(ADMIN, AuditFilter()))[1:]]
    assert (login.username, login.action, login.address) == (REDACTED, "session.log_in", "192.0.2.7")
    assert (wrong_key.username, wrong_key.credential) == (None, REDACTED)
    assert (kept.username, kept.credential) == ("ada", "API key k")


async def test_what_strangers_typed_is_redacted_unless_it_is_recorded_today(audit: Audit, database: Database) -> None:
    failed = AuditAnswer(result=AuditResult.REJECTED, status=401)
    async with database.connection() as db:
        await db.execute("insert into account (username) values ('ann')")
    stranger = asked(username=None)
    typed = [
        asked("session.log_in", username=PLANTED),
        asked("session.log_in", username="ann"),
        evolve(stranger, credential=f"API key {PLANTED}:a:b"),
        evolve(stranger, credential="API key AbCdEfGh12"),
        evolve(stranger, action="Authenticate.create", credential="", fields={"username": PLANTED}),
        evolve(stranger, action="Authenticate.create", credential="", fields={"username": "ann"}),
        evolve(asked(), credential="API key of.ann's:own"),
    ]
    for one in typed:
        request = evolve(one, fields=one.fields if one.action.startswith("A") else {})
        async with database.connection() as db:  # without the limit of requests by strangers
            await db.execute("select audit_append($1)", [request_text(request, failed)])
    assert await redact(audit, unlisted=True) == 3
    found = [one.request for one in (await audit.list(ADMIN, AuditFilter(oldest_first=True)))]
    found = [one for one in found if one.action != "audit.redact"]
    assert [one.username for one in found] == [REDACTED, "ann", None, None, None, None, "ada"]
    assert [one.credential for one in found[2:4]] == [REDACTED, "API key AbCdEfGh12"]
    assert [one.fields for one in found[4:6]] == [{"username": REDACTED}, {"username": "ann"}]
    assert (await audit.verify()).problems == ()
    assert await redact(audit, unlisted=True) == 0


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (f"{_REPLACED} 'ada', 'bob') where id = 1", "after it was redacted by entry 5"),
        (f"{_REPLACED} 'night', 'day') where id = 3", "Entry 3 was changed"),
        ("update audit_entry set redacted_by = 2 where id = 1", "entry 2 does not record that it was redacted"),
        ("update audit_entry set redacted_by = null where id = 1", "Entry 1 was changed: its hash"),
        ("update audit_entry set redacted_by = 5 where id = 3", "entry 5 does not record that it was redacted"),
        (f"{_REPLACED} 'leaked', 'x') where id = 5", "Entry 5 was changed"),
        ("delete from audit_entry where id = 1", "Entries 1 to 1 are missing"),
    ],
    ids=["changed", "another", "elsewhere", "hidden", "never redacted", "record changed", "removed"],
)  # fmt: skip
async def test_changes_beside_a_redaction_are_found(
    audit: Audit, database_url: str, statement: str, problem: str
) -> None:
    first = await add(audit, {"user_data": PLANTED})
    await add(audit, {"comment": "night"})
    await redact(audit, first)
    await add(audit, {})
    await by_hand(database_url, statement)
    problems = (await audit.verify()).problems
    assert any(problem in one for one in problems), problems


async def test_a_redaction_that_is_undone_by_hand_is_found(audit: Audit, database_url: str) -> None:
    entry_id = await add(audit, {"user_data": PLANTED})
    before = (await audit.export(ADMIN, after_id=0, limit=1))[0].content
    await redact(audit, entry_id)
    await by_hand(database_url, _SET.format(before, "null"))
    (problem,) = (await audit.verify()).problems
    assert problem == "Entry 1 was changed: entry 3 redacted it, which was undone."


async def test_an_older_redaction_of_the_same_request_does_not_count(audit: Audit, database_url: str) -> None:
    entry_id = await add(audit, {"user_data": PLANTED, "key": PLANTED})
    await redact(audit, entry_id, fields=("key",))
    once = (await audit.export(ADMIN, after_id=0, limit=1))[0].content
    await redact(audit, entry_id, fields=("user_data",))
    assert (await audit.verify()).problems == ()
    await by_hand(database_url, _SET.format(once, "3"))
    (problem,) = (await audit.verify()).problems
    assert problem == "Entry 1 was changed: entry 4 redacted it, which was undone."


@pytest.mark.parametrize("is_redacted", [False, True], ids=["never redacted", "redacted before"])
async def test_a_redaction_does_not_hide_a_change_by_hand(audit: Audit, database_url: str, is_redacted: bool) -> None:
    entry_id = await add(audit, {"user_data": PLANTED, "comment": "night"})
    if is_redacted:
        await redact(audit, entry_id, fields=("user_data",))
    await by_hand(database_url, "update audit_entry set content = replace(content, 'ada', 'bob') where id = 1")
    before = await everything(audit)
    with pytest.raises(WrongState, match="Entry 1 cannot be redacted: it was changed"):
        await redact(audit, entry_id, fields=("comment",))
    assert await everything(audit) == before


async def test_records_of_redactions_and_prunings_stay(audit: Audit, database: Database) -> None:
    entry_id = await add(audit, {"user_data": PLANTED})
    await redact(audit, entry_id)
    asked_for = await audit.begin(evolve(asked("Audit.redact"), fields={"comment": "leaked"}))
    for stays in (3, asked_for):
        with pytest.raises(InvalidRequest, match="records what was done with the audit trail"):
            await redact(audit, stays)
    assert await redact(audit, fields=("comment",)) == 0
    with pytest.raises(asyncpg.RestrictViolationError, match="records what was done with the audit trail"):
        async with database.connection() as db:
            await db.execute("select audit_redact($1, '{}')", [{"id": 3}])


async def test_only_requests_of_the_trail_are_redacted(audit: Audit) -> None:
    await add(audit, {"user_data": PLANTED})
    for number in (2, 99):  # an answer, and nothing
        with pytest.raises(NotFound, match=f"no request {number}"):
            await redact(audit, number)


async def test_only_administrators_redact(audit: Audit) -> None:
    await add(audit, {"user_data": PLANTED})
    with pytest.raises(NotAllowed):
        await audit.redact(evolve(ADMIN, is_admin=False), Redaction(fields=("user_data",)))


async def test_redacted_entries_are_pruned_like_others(audit: Audit, database: Database) -> None:
    entry_id = await add(audit, {"user_data": PLANTED})
    await redact(audit, entry_id)
    assert await Audit(database, retention=timedelta(0)).prune() == 2  # the record of the redaction is the newest
    assert (await audit.verify()).problems == ()
    await add(audit, {})
    assert await Audit(database, retention=timedelta(0)).prune() > 0
    assert (await audit.verify()).problems == ()


@pytest.mark.slow
async def test_many_requests_are_redacted_in_batches(audit: Audit, database: Database) -> None:
    text = json.dumps({"action": "Machine.deploy", "username": "ada", "fields": {"user_data": PLANTED}, "result": "ok"})
    async with database.connection() as db:
        await db.execute("select audit_append(array_fill($1::text, array[5050]))", text)
    wanted = Redaction(fields=("user_data",), comment="leaked")
    assert await audit.redact(ADMIN, wanted) == RedactionReport(requests=5000, after_id=5000)
    assert await audit.redact(ADMIN, wanted, after_id=5040) == RedactionReport(requests=10)
    assert await audit.redact(ADMIN, wanted, after_id=5000) == RedactionReport(requests=40)
    report = await audit.verify()
    assert (report.problems, report.redacted, report.head_id) == ((), 5050, 5102)


@pytest.mark.parametrize("action", ["audit.redact", "audit.prune"])
async def test_nobody_appends_the_record_of_a_redaction(database: Database, action: str) -> None:
    async with database.connection() as db:
        with pytest.raises(asyncpg.RestrictViolationError, match="Only audit_prune and audit_redact"):
            await db.execute("select audit_append($1)", [json.dumps({"action": action, "redacted": []})])
        with pytest.raises(asyncpg.RestrictViolationError, match="Only audit_prune and audit_redact"):
            await db.execute("select audit_append($1)", [f'{{"action": "\\u0061{action[1:]}"}}'])


async def test_a_region_that_does_not_own_the_trail_can_redact_values_only(restricted_url: str) -> None:
    db = await connect(restricted_url, application_name="test")
    try:
        entry: dict[str, Any] = {"action": "Machine.deploy", "username": "ada", "fields": {"user_data": PLANTED}}
        assert await db.fetchval("select audit_append($1)", [json.dumps(entry)]) == 1
        assert await db.fetchval('select audit_redact(\'[{"id": 1, "fields": ["user_data"]}]\', \'{}\')') == 1
        content = json.loads(await db.fetchval("select content from audit_entry where id = 1"))
        assert content == {**entry, "fields": {"user_data": REDACTED}}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute("select audit_write(array['{}'])")
    finally:
        await db.close()
