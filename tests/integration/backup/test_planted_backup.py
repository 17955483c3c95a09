"""A backup of a database in which somebody has put code of their own: its restore refuses that by name.

Each case changes the database of which the backup is made, as whoever had taken the region over could.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import WrongState
from regiond.backup.model import BackupFailed
from regiond.db.pool import Database
from regiond.process.settings import RegionSettings
from tests.integration.backup.test_restore import backed_up, restored, settings
from tests.postgresql.database import execute_as_superuser, fetchval

__all__ = ["settings"]
pytestmark = [pytest.mark.database, pytest.mark.needs_owner, pytest.mark.own_database]

_OWN = "create function own() returns trigger language plpgsql security definer as $$ begin return new; end $$;"
PLANTED = {
    r"function public\.backdoor\(text\)": "create function backdoor(text) returns bigint language sql security definer "
        "as 'select audit_write(array[$1])'",
    r"changed: function public\.audit_append_only\(\)":
        "create or replace function audit_append_only() returns trigger language plpgsql as 'begin return null; end'",
    r"changed: function public\.audit_prune\(interval,integer\)":
        "alter function audit_prune(interval, integer) security invoker",
    r"function public\.own\(\)": f"{_OWN} create trigger own before insert on zone for each row execute function own()",
    r"trigger own on public\.zone": "create trigger own before insert on zone for each row "
        "execute function audit_append_only()",
    r"missing: trigger audit_entry_append_only": "drop trigger audit_entry_append_only on audit_entry",
    r"changed: trigger audit_chain_append_only": "alter table audit_chain disable trigger user",
    r"default public\.zone\.description": "alter table zone alter description set default current_setting('role')",
    r"constraint own on public\.zone": "alter table zone add constraint own "
        "check (set_config('a.b', name, true) <> '')",
    r"rule public\.zone own": "create rule own as on delete to zone do also select 1",
    r"view public\.own": "create view own as select set_config('a.b', '', false)",
    r"policy public\.zone own": "create policy own on zone using (true)",
    r"index public\.own": "create index own on zone (lower(name))",
    r"domain public\.own": "create domain own as text check (value <> '')",
    r"aggregate public\.own\(integer\)": "create aggregate own(integer) (sfunc = int4pl, stype = integer)",
    r"operator public\.=": "create function same(name, text) returns boolean language sql as 'select true'; "
        "create operator = (leftarg = name, rightarg = text, function = same)",
    r"materialized view public\.own": "create materialized view own as select 1 as id",
    r"table public\.own\?select 1": 'create table "own\nselect 1" (id integer)',
    r"child table own\.zone": "create schema own; create table own.zone () inherits (public.zone)",
    r"publication own": "create publication own for table zone",
}  # fmt: skip


@pytest.mark.parametrize(("name", "sql"), PLANTED.items(), ids=PLANTED)
async def test_what_was_planted_is_refused_by_name(
    database: Database, database_url: str, settings: RegionSettings, tmp_path: Path, name: str, sql: str
) -> None:
    async with database.connection() as db:
        await db.execute(sql)
    path = await backed_up(database, database_url, tmp_path)
    with pytest.raises(BackupFailed, match=f"differs from what Innkeeper's migrations make: .*{name}"):
        await restored(settings, path)
    opened = await Database.open(settings.required_database, min_size=1, max_size=1)
    try:
        mine = "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
        assert await fetchval(opened, mine) == 0
    finally:
        await opened.close()


async def test_an_empty_database_with_a_function_is_refused(
    database: Database, database_url: str, settings: RegionSettings, tmp_path: Path
) -> None:
    path = await backed_up(database, database_url, tmp_path)
    opened = await Database.open(settings.required_database, min_size=1, max_size=1)
    try:
        async with opened.connection() as db:
            await db.execute("create function format(text, text, text) returns text language sql as 'select $1'")
    finally:
        await opened.close()
    with pytest.raises(WrongState, match=r"function public\.format\(text,text,text\).*into an empty database"):
        await restored(settings, path)


async def test_a_table_of_others_without_code_is_restored(
    database: Database, database_url: str, settings: RegionSettings, tmp_path: Path
) -> None:
    async with database.connection() as db:
        await db.execute("create schema notes; create table notes.mine (id serial, words text); "
                         "insert into notes.mine (words) values ('kept')")  # fmt: skip
    path = await backed_up(database, database_url, tmp_path)
    await restored(settings, path)
    opened = await Database.open(settings.required_database, min_size=1, max_size=1)
    try:
        assert await fetchval(opened, "select words from notes.mine") == "kept"
    finally:
        await opened.close()


async def test_a_function_of_the_server_s_superuser_is_refused_too(
    database: Database, database_url: str, settings: RegionSettings, tmp_path: Path
) -> None:
    """In the new database it would belong to the owner of the tables."""
    await execute_as_superuser(database_url, "create function report() returns text language sql as 'select ''x'''")
    path = await backed_up(database, database_url, tmp_path)
    with pytest.raises(BackupFailed, match=r"function public\.report\(\)"):
        await restored(settings, path)
