"""A region whose role does not own the tables: it serves, and cannot change the audit trail or the schema."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from common.errors import BadSettings
from development import postgres
from regiond.audit.model import AuditAnswer, AuditFilter, AuditRequest, AuditResult
from regiond.audit.service import Audit
from regiond.db.migrate import migrate
from regiond.db.migration_files import packaged
from regiond.db.pool import Database, connect
from regiond.db.privileges import READ_ONLY_TABLES
from regiond.requests.caller import Caller
from tests.deployment.in_process import deployed
from tests.postgresql.database import OWNER, as_owner, create_database, drop_database
from tests.postgresql.later_migrations import LATER
from tests.support.waiting import settle

pytestmark = pytest.mark.database

ADMIN = Caller(account_id=1, username="ada", is_admin=True)
ASKED = AuditRequest(
    action="Machine.lock", username="ada", credential="API key k", address="192.0.2.7", request_id="r",
    object="machines/m1",
)  # fmt: skip
_TABLES = "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1"
_FUNCTIONS = "select oid::regprocedure::text from pg_proc where pronamespace = 'public'::regnamespace"
# With each of them, the role could change what it may not.
FORBIDDEN = (
    "set local innkeeper.audit = 'on'; update audit_entry set content = '{}'",
    "set local innkeeper.audit = 'on'; update audit_entry set redacted_by = 1",
    "set local innkeeper.audit = 'on'; delete from audit_entry",
    "insert into audit_entry (id, at, content, previous_hash, hash) values (99, now(), '{}', '', '')",
    "set local innkeeper.audit = 'on'; update audit_chain set head_id = 0",
    "delete from audit_chain",
    "update audit_retention set at_least = '0'",
    "delete from audit_retention",
    "insert into audit_retention values (false, '0')",
    "delete from schema_migration",
    "update schema_migration set release = ''",
    "insert into schema_migration (number, name, digest) values (9, '', '')",
    "select audit_write(array['{}'])",
    "alter table audit_entry disable trigger all",
    "create trigger own before insert on machine execute function audit_append_only()",
    "create rule own as on delete to event do instead nothing",
    "set session_replication_role = replica",
    "drop schema public cascade",
    "create schema own",
    "create table own (id integer)",
    "create temporary table machine (id integer)",
    "create view own as select",
    "create type own as (id integer)",
    "create sequence own",
    "create function public.format(text, bigint, text, text) returns text language sql return 'x'",
    "create or replace function audit_digest(audit_entry) returns bytea language sql return ''::bytea",
    "alter default privileges in schema public grant all on tables to public; create table own (id integer)",
    "select setval('operation_id_seq', 1)",
    "alter sequence operation_id_seq restart",
    "reindex table machine",
    "drop extension plpgsql",
    "create role own",
    "alter role current_user createrole",
    f'set role "{OWNER}"',
    f'grant "{OWNER}" to current_user',
    "alter table audit_entry owner to current_user",
    "comment on table machine is ''",
    "copy machine to program 'true'",
)


@pytest.fixture
def restricted(restricted_url: str) -> Iterator[Database]:
    opened = settle(Database.open(restricted_url, application_name="innkeeper-test", min_size=1))
    yield opened
    settle(opened.close())


async def refused(database: Database, statement: str) -> bool:
    """Whether PostgreSQL refuses the statement because of the rights of the role."""
    async with database.connection() as db:
        transaction = db.transaction()
        await transaction.start()
        try:
            await db.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            return True
        finally:
            await transaction.rollback()
    return False


async def test_what_the_region_never_needs_is_refused(restricted: Database) -> None:
    await Audit(restricted).begin(ASKED)
    assert [one for one in FORBIDDEN if not await refused(restricted, one)] == []


async def test_no_table_or_function_can_be_dropped_or_altered(restricted: Database) -> None:
    async with restricted.connection() as db:
        tables = [row[0] for row in await db.fetch(_TABLES)]
        functions = [row[0] for row in await db.fetch(_FUNCTIONS)]
    assert len(tables) > 60
    assert len(functions) > 40
    statements = [
        *(f"{verb} {table}" for verb in ("truncate", "drop table") for table in tables),
        *(f"alter table {table} {change}" for change in ("rename to own", "disable trigger all") for table in tables),
        *(f"drop function {name}" for name in functions),
        *(f"alter function {name} owner to current_user" for name in functions),
    ]
    assert [one for one in statements if not await refused(restricted, one)] == []


async def test_each_table_gives_the_role_what_it_needs(restricted: Database) -> None:
    query = """
        select relname::text, array(select one from unnest(array['select', 'insert', 'update', 'delete', 'truncate',
                                                                 'references', 'trigger']) one
                                     where has_table_privilege(oid, one))
          from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
    """
    async with restricted.connection() as db:
        for table, privileges in await db.fetch(query):
            changes = [] if table in READ_ONLY_TABLES else ["insert", "update", "delete"]
            assert privileges == ["select", *changes], table


async def test_only_entries_older_than_the_floor_are_pruned(restricted: Database, restricted_url: str) -> None:
    audit = Audit(restricted, retention=timedelta(0))
    for _ in range(3):
        await audit.end(await audit.begin(ASKED), AuditAnswer(result=AuditResult.OK, status=200))
    owner = await connect(as_owner(restricted_url), application_name="test")
    try:
        await owner.execute("update audit_retention set at_least = '30 days'")
        assert await audit.prune() == 0
        await owner.execute("update audit_retention set at_least = '0'")
    finally:
        await owner.close()
    assert await audit.prune() == 5
    assert (await audit.verify()).problems == ()
    (newest, *_) = await audit.list(ADMIN, AuditFilter())
    assert newest.request.action == "audit.prune"


async def test_an_older_schema_names_the_command_that_changes_it(restricted_url: str) -> None:
    later = [*packaged(), LATER[0]]
    with pytest.raises(BadSettings, match=r"innkeeper-regiond may not change it.*innkeeper region migrate"):
        await migrate(restricted_url, later)
    assert await migrate(as_owner(restricted_url), later, grant_to=postgres.ROLE) == (LATER[0].name,)
    assert await migrate(restricted_url, later) == ()
    role = await connect(restricted_url, application_name="test")
    try:
        assert await role.fetchval("delete from rating returning 1") is None
    finally:
        await role.close()


async def test_an_empty_database_names_the_command_that_prepares_it(postgres_server: str, restricted_url: str) -> None:
    name = f"innkeeper_empty_{uuid4().hex[:12]}"
    empty = await create_database(postgres_server, name, owner=OWNER)
    try:
        with pytest.raises(BadSettings, match=r"has no tables.*innkeeper region init"):
            await migrate(empty)
    finally:
        await drop_database(postgres_server, name)


@pytest.mark.slow
async def test_a_region_with_these_rights_serves(restricted_url: str, tmp_path: Path) -> None:
    async with deployed(tmp_path, restricted_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.compose(host["id"], hostname="web-1", cores=1, memory=1024, storage="root:4")
        machine = (await innkeeper.get("machines/"))[0]
        await innkeeper.post(f"machines/{machine['system_id']}/", op="power_on")
        await innkeeper.delete(f"machines/{machine['system_id']}/")
        assert await innkeeper.get("machines/") == []
        entries = await innkeeper.get("audit/")
        assert {"VmHosts.create", "Machine.delete"} <= {one["action"] for one in entries}
