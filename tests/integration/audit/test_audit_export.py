"""The audit trail arrives elsewhere, in order and at least once, whatever fails in between."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from regiond.audit.export.model import parse_destination
from regiond.audit.export.senders import CONNECT_DEADLINE_S, Secrets, make_sender
from regiond.audit.export.service import LEASE_S, SEND_DEADLINE_S, AuditExport
from regiond.audit.model import AuditRequest
from regiond.audit.service import Audit
from regiond.db.pool import Database
from regiond.metrics.records import AUDIT_EXPORT
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.support.log_receivers import Received, syslog_datagrams, syslog_stream, web_server
from tests.postgresql.database import execute
from tests.support.certificate_pairs import make_pair
from tests.support.clock import advance, in_no_time
from tests.support.waiting import eventually

pytestmark = pytest.mark.database


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database)


async def written(audit: Audit, number: int) -> list[int]:
    request = AuditRequest(
        action="Machine.lock", username="ada", credential="API key k", address="192.0.2.7", request_id="r"
    )
    return [await audit.begin(request) for _ in range(number)]


def export(
    database: Database,
    to: Received | str,
    *,
    region_id: UUID | None = None,
    secrets: Secrets | None = None,
    batch: int = 3,
) -> AuditExport:
    destination = parse_destination(to if isinstance(to, str) else to.url)
    sender = make_sender(destination, secrets or Secrets())
    return AuditExport(database, destination, sender, region_id=region_id or uuid4(), batch=batch)


async def rounds(exporting: AuditExport, received: Received, ids: list[int]) -> None:
    """Runs until all of the ids have been sent, however often that is."""
    for _ in range(len(ids) + 1):
        if exporting.state.sent_id == ids[-1]:
            break
        await exporting.run_once()
    assert exporting.state.sent_id == ids[-1]
    await eventually(lambda: set(received.ids) >= set(ids))


def receivers(kind: str, folder: Path) -> AbstractAsyncContextManager[Received]:
    match kind:
        case "udp":
            return syslog_datagrams()
        case "unix":
            return syslog_datagrams(folder / "log")
        case "tcp":
            return syslog_stream()
        case "tls":
            return syslog_stream(make_pair("localhost").write(folder))
        case "http":
            return web_server()
    return web_server(make_pair("localhost").write(folder))


@pytest.mark.parametrize("kind", ["tcp", "tls", "udp", "unix", "http", "https"])
async def test_all_entries_arrive_in_their_order(audit: Audit, database: Database, tmp_path: Path, kind: str) -> None:
    ids = await written(audit, 7)
    async with receivers(kind, tmp_path) as receiver:
        exporting = export(database, receiver, secrets=Secrets(ca=receiver.ca))
        await rounds(exporting, receiver, ids)
        assert receiver.ids == ids
        more = await written(audit, 1)
        await rounds(exporting, receiver, more)
        await exporting.stop()
    assert receiver.ids == [*ids, *more]


async def test_another_region_continues_where_the_first_stopped(audit: Audit, database: Database) -> None:
    ids = await written(audit, 6)
    async with web_server() as receiver:
        first, second = export(database, receiver), export(database, receiver)
        await first.run_once()
        assert (await second.run_once()).seconds == LEASE_S / 4, "the first has the lease"
        assert (first.state.sends, second.state.sends) == (True, False)
        await first.stop()
        await rounds(second, receiver, ids)
        await second.stop()
    assert receiver.ids == ids


async def test_a_region_that_died_loses_its_lease(audit: Audit, database: Database) -> None:
    ids = await written(audit, 6)
    async with web_server() as receiver:
        dead, second = export(database, receiver), export(database, receiver)
        await dead.run_once()
        await execute(database, "update audit_export set lease_until = now() - interval '1 second'")
        await rounds(second, receiver, ids)
        await dead.run_once()  # it did not know, and sent three again
        assert not dead.state.sends
        await second.stop()
    assert sorted(set(receiver.ids)) == ids
    assert receiver.ids[:3] == ids[:3]


async def test_the_lease_of_a_process_known_to_be_dead_is_taken_over(audit: Audit, database: Database) -> None:
    ids, dead_id = await written(audit, 6), uuid4()
    async with web_server() as receiver:
        await export(database, receiver, region_id=dead_id).run_once()
        second = export(database, receiver)
        await second.run_once()
        assert not second.state.sends
        await second.take_over(dead_id)
        await rounds(second, receiver, ids)
        await second.stop()
    assert receiver.ids == ids


async def test_a_failed_destination_is_tried_again_with_growing_pauses(audit: Audit, database: Database) -> None:
    ids = await written(audit, 2)
    async with web_server() as receiver:
        receiver.statuses = [500, 401, 302, 503]
        exporting = export(database, receiver)
        with capture_logs() as lines:
            pauses = [(await exporting.run_once()).seconds for _ in range(4)]
            reason = exporting.state.reason
            await exporting.run_once()
        await exporting.stop()
    assert (pauses, reason) == ([1.0, 2.0, 4.0, 8.0], f"{parse_destination(receiver.url).name}: answered 503")
    assert [line["event"] for line in lines] == ["audit_export_failed"] * 4 + ["audit_export_resumed"]
    assert receiver.ids == ids


async def test_a_server_that_takes_few_at_once_gets_few(audit: Audit, database: Database) -> None:
    ids = await written(audit, 8)
    async with web_server() as receiver:
        receiver.most_entries = 2
        exporting = export(database, receiver, batch=8)
        await rounds(exporting, receiver, ids)
        await exporting.stop()
    assert (receiver.ids, receiver.batches[:3]) == (ids, [8, 4, 2])


async def test_a_silent_server_ends_the_attempt_at_its_deadline(audit: Audit, database: Database) -> None:
    await written(audit, 1)
    async with web_server() as receiver:
        receiver.silent = True
        exporting = export(database, receiver)
        await in_no_time(exporting.run_once(), step_s=SEND_DEADLINE_S / 4)
        assert "has not taken the entries for 30 s" in (exporting.state.reason or "")
        await exporting.stop()


async def test_a_server_that_is_away_is_named(audit: Audit, database: Database) -> None:
    await written(audit, 1)
    for url in ("syslog+tcp://127.0.0.1:9", "http://127.0.0.1:9/", "syslog+unix:///nowhere/log"):
        exporting = export(database, url)
        await exporting.run_once()
        assert (exporting.state.reason or "").startswith(parse_destination(url).name)
        await exporting.stop()


async def test_a_server_that_never_answers_is_named_with_the_reason(audit: Audit, database: Database) -> None:
    await written(audit, 1)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)  # it never begins TLS
    exporting = export(database, f"syslog+tls://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await in_no_time(exporting.run_once(), step_s=CONNECT_DEADLINE_S / 4)
    assert (exporting.state.reason or "").endswith("no connection within 10 s")
    await exporting.stop()
    server.close()


async def test_entries_are_repeated_after_a_server_cut_the_connection(audit: Audit, database: Database) -> None:
    ids = await written(audit, 9)
    async with syslog_stream() as receiver:
        receiver.cuts = 3
        exporting = export(database, receiver)

        async def has_all() -> bool:
            await exporting.run_once()
            return set(receiver.ids) == set(ids)

        await eventually(has_all, deadline_s=30.0)
        assert exporting.state.sent_id == ids[-1]
        await exporting.stop()
    assert receiver.cuts == 0
    assert len(receiver.ids) > len(ids), "some arrived twice"


async def test_a_server_that_nobody_vouches_for_gets_nothing(audit: Audit, database: Database, tmp_path: Path) -> None:
    await written(audit, 1)
    files = make_pair("localhost").write(tmp_path)
    async with syslog_stream(files) as syslog, web_server(files) as web:
        for receiver in (syslog, web):
            exporting = export(database, receiver)
            await exporting.run_once()
            assert exporting.state.reason is not None
            await exporting.stop()
            assert receiver.entries == []


async def test_a_header_of_a_file_is_sent_and_read_each_time(audit: Audit, database: Database, tmp_path: Path) -> None:
    [_, last] = await written(audit, 2)
    header = tmp_path / "header"
    async with web_server() as receiver:
        exporting = export(database, receiver, secrets=Secrets(header=header), batch=1)
        await exporting.run_once()
        assert f"cannot read audit_export_header {header}" in (exporting.state.reason or "")
        for token in ("first", "second"):
            header.write_text(f"Authorization: Bearer {token}\n")
            await exporting.run_once()
        await exporting.stop()
    assert ["Bearer first" in head for head in receiver.headers] == [True, False]
    assert "Bearer second" in receiver.headers[1]
    assert receiver.ids[-1] == last


async def test_entries_that_the_retention_deleted_before_are_reported(database: Database) -> None:
    audit = Audit(database, retention=timedelta(0))
    ids = await written(audit, 3)
    pruned = await audit.prune()
    assert pruned > 0
    more = await written(audit, 1)
    async with web_server() as receiver:
        exporting = export(database, receiver)
        with capture_logs() as lines:
            await exporting.run_once()
        await exporting.stop()
    [gap] = [line for line in lines if line["event"] == "audit_export_incomplete"]
    assert (gap["first_id"], gap["last_id"]) == (1, ids[pruned - 1])
    assert receiver.ids[-1] == more[-1]


async def unsent(database: Database) -> list[float]:
    async with database.connection() as db:
        return [sample.value async for sample in AUDIT_EXPORT.read(db)]


async def test_a_metric_counts_what_was_not_sent(audit: Audit, database: Database) -> None:
    ids = await written(audit, 5)
    assert await unsent(database) == [], "nothing is sent anywhere"
    async with web_server() as receiver:
        receiver.statuses = [503]
        exporting = export(database, receiver)
        await exporting.run_once()
        assert await unsent(database) == [5]
        await exporting.run_once()
        assert await unsent(database) == [2]
        await rounds(exporting, receiver, ids)
        assert await unsent(database) == [0]
        await exporting.stop()
    assert await unsent(database) == []


async def test_a_request_does_not_wait_for_a_silent_destination(tmp_path: Path, database_url: str) -> None:
    async with web_server() as receiver:
        receiver.silent = True
        async with deployed(tmp_path, database_url, audit_export=receiver.url) as region:
            await region.post("tags/", name="first")
            await eventually(lambda: bool(receiver.batches))
            await region.post("tags/", name="second")
            await _arrives_after_the_silence(region, receiver)


async def _arrives_after_the_silence(region: Deployment, receiver: Received) -> None:
    receiver.silent = False
    await advance(SEND_DEADLINE_S)

    async def has_arrived() -> bool:
        await advance(1.0)
        return any("second" in entry["content"] for entry in receiver.entries)

    await eventually(has_arrived)
    listed = await region.get("audit/", op="export")
    assert receiver.ids[: len(listed)] == [row["id"] for row in listed][: len(receiver.ids)]
