"""The audit export while its own database or its sender fails, and while another region sends."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID, uuid4

import asyncpg
import pytest
from attrs import define, field

from regiond.audit.export import store
from regiond.audit.export.model import parse_destination
from regiond.audit.export.senders import Doubtful, TooManyEntries
from regiond.audit.export.service import AuditExport
from regiond.audit.model import AuditRequest, RawEntry
from regiond.audit.service import Audit
from regiond.db.pool import Database, Db
from tests.postgresql.database import execute
from tests.support.waiting import eventually

pytestmark = pytest.mark.database


@define
class Sent:
    """A sender that raises the next of `errors`, if there is one, or has the entries."""

    ids: list[int] = field(factory=list)
    errors: list[Exception] = field(factory=list)
    sizes: list[int] = field(factory=list)

    async def send(self, entries: Sequence[RawEntry]) -> None:
        if self.errors:
            raise self.errors.pop()
        self.sizes.append(len(entries))
        self.ids += [entry.id for entry in entries]

    async def close(self) -> None:
        """Has nothing to close."""


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database)


async def written(audit: Audit, number: int) -> list[int]:
    request = AuditRequest(
        action="Machine.lock", username="ada", credential="API key k", address="192.0.2.7", request_id="r"
    )
    return [await audit.begin(request) for _ in range(number)]


def export(database: Database, sender: Sent) -> AuditExport:
    return AuditExport(database, parse_destination("syslog+tcp://logs"), sender, region_id=uuid4(), batch=3)


@pytest.mark.needs_owner
async def test_entries_in_doubt_are_repeated_after_the_database_failed(audit: Audit, database: Database) -> None:
    ids, sender = await written(audit, 6), Sent()
    exporting = export(database, sender)
    await exporting.run_once()
    sender.errors = [Doubtful("the server closed the connection", ids[0] - 1)]
    await execute(database, "alter table audit_export rename to away")
    for _ in range(3):
        with suppress(asyncpg.UndefinedTableError):
            await exporting.run_once()
    await execute(database, "alter table away rename to audit_export")
    for _ in range(4):
        await exporting.run_once()
    await exporting.stop()
    assert sender.ids == [*ids[:3], *ids]


async def test_entries_in_doubt_are_repeated_by_the_region_that_sends_now(audit: Audit, database: Database) -> None:
    ids, sender, other = await written(audit, 3), Sent(), Sent()
    first, second = export(database, sender), export(database, other)
    await first.run_once()
    ids += await written(audit, 1)
    sender.errors = [Doubtful("the server closed the connection", ids[0] - 1)]
    await first.run_once()
    await execute(database, "update audit_export set lease_until = now() - interval '1 second'")
    ids += await written(audit, 1)
    await second.run_once()
    assert other.ids == ids[3:], "it does not know of the doubt yet"
    ids += await written(audit, 1)
    await first.run_once()
    for _ in range(4):
        await second.run_once()
    await first.stop()
    await second.stop()
    assert other.ids == [*ids[3:5], ids[5], *ids]


async def test_requests_do_not_ask_for_the_lease_of_another_region(
    audit: Audit, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, lease = [], store.lease

    async def counted(db: Db, destination: str, owner: UUID, seconds: float) -> int | None:
        found = await lease(db, destination, owner, seconds)
        asked.append(found)
        return found

    first, second = export(database, Sent()), export(database, Sent())
    await first.run_once()
    monkeypatch.setattr(store, "lease", counted)
    audit.on_appended(second.wake)
    second.start()
    await eventually(lambda: asked == [None])
    await written(audit, 5)
    await second.stop()
    await first.stop()
    assert asked == [None]


async def test_a_failure_that_nobody_expected_is_a_reason_too(audit: Audit, database: Database) -> None:
    await written(audit, 1)
    exporting = export(database, Sent(errors=[ValueError("a bug")]))
    exporting.start()
    await eventually(lambda: exporting.state.reason == "failed unexpectedly")
    await exporting.stop()


async def test_a_batch_grows_again_after_one_was_too_large(audit: Audit, database: Database) -> None:
    ids, sender = await written(audit, 10), Sent(errors=[TooManyEntries("413 Content Too Large")])
    exporting = export(database, sender)
    for _ in range(6):
        await exporting.run_once()
    await exporting.stop()
    assert (sender.ids, sender.sizes) == (ids, [1, 2, 3, 3, 1])
