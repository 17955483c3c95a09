"""Every statement of the region is valid on this PostgreSQL, with the tables of all migrations."""

from __future__ import annotations

import re

import asyncpg
import pytest

from regiond.db.pool import Database
from tests.integration.support.statements import statements, unresolved

pytestmark = pytest.mark.database

# Chosen at run time between constants. The tests of these modules execute them, and are repeated on other releases too.
CHOSEN = [
    "regiond.backup.forward_store.statement",  # test_restore
    "regiond.clusters.store.*existing",  # test_clusters
    "regiond.commands.database_setup.dump_check.f\"set local search_path = {SYSTEM_PATH['search_path']}\"",  # restore
    "regiond.commands.database_setup.dump_check.statement",  # test_planted_backup
    "regiond.commands.database_setup.store.formatted",  # test_database_setup
    "regiond.commands.database_setup.store.statement",  # test_database_setup
    "regiond.credentials.rewrap.statement",  # test_rewrap
    "regiond.db.migrate.lock",  # test_db_migrate
    "regiond.db.migrate.one.sql",  # test_db_migrate
    "regiond.db.privileges.statement",  # test_least_privilege
    "regiond.db.stored_code.f\"set local search_path = {SYSTEM_PATH['search_path']}\"",  # test_planted_code
    "regiond.db.stored_code.f'set local search_path = {SCHEMA}, pg_temp'",  # test_planted_code
    "regiond.db.stored_code.one.within_transaction",  # test_planted_code
    "regiond.groups.store.statement",  # test_groups
]


async def test_every_statement_can_be_prepared(database: Database) -> None:
    found = {place: text for place, text in statements().items() if text}
    assert len(found) > 500
    problems = {}
    for place, text in found.items():
        async with database.connection() as db:
            try:
                await db.prepare(text)
            except asyncpg.PostgresError as error:
                problems[place] = f"{error}: {text}"
    assert problems == {}


def test_no_other_statement_is_made_at_run_time() -> None:
    assert unresolved() == CHOSEN


def test_all_statements_agree_on_when_a_region_is_silent() -> None:
    texts = [text for text in statements().values() if text and "region_process" in text]
    assert {found for text in texts for found in re.findall(r"seen_at > now\(\) - (interval '[^']+'|\S+)", text)} == {
        "interval '30 seconds'"
    }
