"""What servers said before this release is hidden after the upgrade, too."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.words.hidden_text import REASON, masked, revealed
from regiond.db.migrate import migrate
from regiond.db.migration_files import packaged
from regiond.db.pool import Db, connect

pytestmark = pytest.mark.database

SAID = "Cannot connect to hv1.example:8443: refused."
FILE = "0033_hidden_texts.sql"
_OPERATION = """
    insert into operation (kind, state, request, error_code, error_message, max_failures)
    values ('refresh', 'failed', '{}', $1, $2, 1) returning id
"""
_LOG = "insert into operation_log (operation_id, attempt, message, details) values ($1, 1, $2, $3)"
_EVENT = "insert into event (kind, level, message, operation_id) values ($1, $2, $3, 1)"
_TEXTS = """
    select error_message as text from operation
    union all select message from operation_log
    union all select details ->> 'reason' from operation_log where details ? 'reason'
    union all select message from event
"""


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Db]:
    db = await connect(dsn, application_name="test")
    try:
        yield db
    finally:
        await db.close()


async def test_texts_of_servers_are_hidden_after_the_upgrade(empty_database_url: str) -> None:
    files = packaged()
    await migrate(empty_database_url, [one for one in files if one.name < FILE])
    async with opened(empty_database_url) as db:
        failed = await db.fetchval(_OPERATION, "host_unreachable", SAID)
        await db.fetchval(_OPERATION, "out_of_capacity", "No host has 4 cores.")
        await db.execute(_LOG, failed, SAID, json.dumps({"code": "host_unreachable"}))
        await db.execute(_LOG, failed, "guest not found", json.dumps({"reason": SAID}))
        await db.execute(_EVENT, "host_unreachable", "warning", f"hv1: {SAID}")
        await db.execute(_EVENT, "host_back", "info", "hv1: it is reachable again")
        before = [row["text"] for row in await db.fetch(_TEXTS)]
    await migrate(empty_database_url, [one for one in files if one.name <= FILE])
    async with opened(empty_database_url) as db:
        after = [row["text"] for row in await db.fetch(_TEXTS)]
    assert sorted(map(revealed, after)) == sorted(before)
    assert sorted(map(masked, after)) == sorted([
        f"{REASON}.", "No host has 4 cores.", f"{REASON}.", "guest not found", f"{REASON}.", f"hv1: {REASON}.",
        "hv1: it is reachable again",
    ])  # fmt: skip
