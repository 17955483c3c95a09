"""Code that the region's role has put into a database that it owned: `region init` and `migrate` run none of it.

Each attack tries to make the region's role a superuser, from whatever an administrator's session would run, or to keep
a way to the audit trail for afterwards.
"""

from __future__ import annotations

import asyncpg
import pytest

from common.errors import BadSettings
from regiond.commands.database_setup import service
from regiond.db.migrate import migrate
from regiond.db.pool import connect
from tests.integration.database.test_database_setup import Server, server

__all__ = ["server"]
pytestmark = pytest.mark.database

_ATTACK = "begin execute 'set local role none; alter role \"{role}\" superuser'; return {value}; end"
_BECOMES_SUPERUSER = f"create function own() returns trigger language plpgsql as $$ {_ATTACK} $$;"
PLANTED = {
    "function public.format(text,text,text)":
        "create function format(text, text, text) returns text language plpgsql as "
        f"$$ {_ATTACK} $$",
    "function public.backdoor(text)":
        "create function backdoor(words text) returns bigint language sql security definer "
        "as $$ select audit_write(array[words]) $$",
    "operator public.=(pg_catalog.name,pg_catalog.text)":
        "create function same(name, text) returns boolean language sql as 'select true'; "
        "create operator = (leftarg = name, rightarg = text, function = same)",
    "function public.audit_append_only()":
        "create or replace function audit_append_only() returns trigger language plpgsql as 'begin return null; end'",
    "function public.audit_write(text[])": 'grant execute on function audit_write(text[]) to public; '
        "alter function audit_write(text[]) reset search_path",
    "function public.event_horizon()": "alter function event_horizon() security definer",
    "trigger own on public.audit_retention": f"{_BECOMES_SUPERUSER} create trigger own before update on "
        "audit_retention for each row execute function own()",
    "trigger own on public.schema_migration": f"{_BECOMES_SUPERUSER} create constraint trigger own after insert on "
        "schema_migration deferrable initially deferred for each row execute function own()",
    "trigger audit_entry_append_only on public.audit_entry": "alter table audit_entry disable trigger user",
    "default public.schema_migration.release":
        "alter table schema_migration alter release set default set_config('role', 'none', false)",
    "constraint own on public.zone": "alter table zone add constraint own "
    "check (set_config('role', 'none', false) <> '')",
    "child table own.event": "create schema own; create table own.event () inherits (public.event)",
    "rule own on public.audit_retention": 'create rule own as on update to audit_retention do also '
        "update pg_authid set rolsuper = true where rolname = '{role}'",
    "policy own on public.zone": "create policy own on zone using (set_config('role', 'none', false) <> '')",
    "row security public.zone": "alter table zone force row level security",
    "index public.own": "create function plain(text) returns text language sql immutable as 'select $1'; "
        "create index own on zone (plain(name))",
    "statistics public.own": "create statistics own on (name || ''), description from zone",
    "type public.own": "create domain own as text",
    "cast (public.machine AS pg_catalog.text)": "create cast (machine as text) with inout as assignment",
    "aggregate": "create aggregate own(integer) (sfunc = int4pl, stype = integer)",
    "view public.own": "create view own as select set_config('role', 'none', false)",
    "child table own.zone": "create schema own; create table own.zone () inherits (public.zone)",
    "partitioned table public.own": "create table own (id integer) partition by list ((id + 1))",
    "publication own": "create publication own for table zone",
    "text search configuration public.own": "create text search configuration own (copy = simple)",
    "collation public.own": "create collation own from \"C\"",
    "setting search_path of the database": 'alter database "{database}" set search_path = own, public',
    "function own.format(text,text,text)": "create schema own; create function own.format(text, text, text) "
        "returns text language sql as 'select $1'",
}  # fmt: skip


async def owned_by_the_region(server: Server) -> None:
    """As the guides before 1.0 made databases."""
    await server.execute(f'create role "{server.target.role}" login')
    await server.execute(f'create database "{server.target.database}" owner "{server.target.role}"')
    await migrate(server.target.dsn)


async def plant(server: Server, sql: str) -> None:
    names = {"role": server.target.role, "database": server.target.database, "value": "null"}
    for name, value in names.items():
        sql = sql.replace(f"{{{name}}}", value)
    await server.execute(sql, dsn=server.target.dsn)


async def is_superuser(server: Server) -> object:
    return await server.value(
        "select rolsuper from pg_roles where rolname like 'role-%' order by rolsuper desc limit 1"
    )


@pytest.mark.parametrize(("name", "sql"), PLANTED.items(), ids=PLANTED)
async def test_what_the_region_planted_is_refused_by_name(server: Server, name: str, sql: str) -> None:
    await owned_by_the_region(server)
    await plant(server, sql)
    shown = "function public.own(integer)" if name == "aggregate" else name
    with pytest.raises(BadSettings) as refused:
        await server.set_up()
    assert shown in refused.value.message
    assert await is_superuser(server) is False
    owner = "select pg_get_userbyid(datdba)::text from pg_database where datname = current_database()"
    assert await server.value(owner) == server.target.role  # nothing was taken over


async def test_a_function_in_a_database_without_tables_is_refused(server: Server) -> None:
    """As it is before a restore."""
    await server.execute(f'create role "{server.target.role}" login')
    await server.execute(f'create database "{server.target.database}" owner "{server.target.role}"')
    await plant(server, PLANTED["function public.format(text,text,text)"])
    with pytest.raises(BadSettings, match=r"not made by Innkeeper: function public\.format\(text,text,text\)"):
        await server.set_up()


async def test_what_is_planted_while_a_setup_runs_is_refused(server: Server) -> None:
    await owned_by_the_region(server)
    await service.check_server(server.administrator, server.target)
    await plant(server, PLANTED["trigger own on public.audit_retention"])
    with pytest.raises(BadSettings, match=r"trigger own on public\.audit_retention"):
        await service.make_roles_and_database(server.administrator, server.target, lambda _: None)
    assert await is_superuser(server) is False


async def test_an_upgrade_runs_nothing_that_was_planted(server: Server) -> None:
    await server.set_up()
    await server.execute(
        _BECOMES_SUPERUSER.format(role=server.target.role, value="null"),
        "create trigger own before insert on schema_migration for each row execute function own()",
        "delete from schema_migration where number = 29",  # the upgrade would insert it again
        f'alter function own() owner to "{server.target.role}"',
        dsn=server.in_database,
    )
    with pytest.raises(BadSettings, match=r"function public\.own\(\), trigger own on public\.schema_migration"):
        await service.change_schema(server.administrator, server.target, lambda _: None)
    assert await is_superuser(server) is False


_WHEN_PLANNED = """
    create function volatile() returns integer language plpgsql as $$
        begin
            if current_user <> '{role}' then execute 'alter role "{role}" superuser'; end if;
            return 1;
        end $$;
    create function fixed(integer) returns integer language plpgsql immutable as
        $$ begin perform public.volatile(); return 1; end $$;
"""


@pytest.mark.parametrize(
    "sql",
    [
        "create index own on schema_migration ((fixed(1) + number))",
        "create statistics own on (fixed(1) + number), (name || '') from schema_migration",
        "alter table schema_migration add check (fixed(1) = 1)",
        "alter table schema_migration enable row level security",
    ],
)
async def test_no_part_of_a_table_runs_when_the_administrator_reads_it(server: Server, sql: str) -> None:
    """To plan a query evaluates calls with fixed arguments in an index, statistics or a check of its table."""
    await owned_by_the_region(server)
    await plant(server, f"{_WHEN_PLANNED} {sql}")
    with pytest.raises(BadSettings, match=r"The table public\.schema_migration has"):
        await server.set_up()
    assert await is_superuser(server) is False


async def test_a_setting_of_the_database_hides_nothing(server: Server) -> None:
    await owned_by_the_region(server)
    await plant(
        server,
        'alter database "{database}" set standard_conforming_strings = off; create schema pgxtempx; '
        "create function pgxtempx.own() returns integer language sql as 'select 1'",
    )
    with pytest.raises(BadSettings, match=r"function pgxtempx\.own\(\)"):
        await server.set_up()


async def test_a_table_that_was_given_to_another_role_is_named(server: Server) -> None:
    """Its owner could add triggers for ever."""
    other = f"other-{server.target.role}"
    await owned_by_the_region(server)
    await server.execute(f'create role "{other}"')
    try:
        await server.execute(
            f'alter table zone owner to "{other}"; alter function event_horizon() owner to "{other}"',
            dsn=server.in_database,
        )
        with pytest.raises(BadSettings, match=r"changed: function public\.event_horizon\(\), table public\.zone"):
            await server.set_up()
    finally:
        await server.execute(f'drop owned by "{other}" cascade', dsn=server.in_database)
        await server.execute(f'drop role "{other}"')


async def test_a_transaction_that_was_open_before_adds_nothing_after(server: Server) -> None:
    await owned_by_the_region(server)
    late = await connect(server.target.dsn, application_name="test")
    try:
        await late.execute("begin; create function format(text, text, text) returns text language sql as 'select $1'")
        await server.set_up()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
            await late.execute("commit")
    finally:
        await late.close()
    assert await server.value("select to_regprocedure('public.format(text, text, text)') is null") is True


async def test_tables_without_a_record_are_those_of_an_interrupted_restore(server: Server) -> None:
    await owned_by_the_region(server)
    await plant(server, "delete from schema_migration")
    with pytest.raises(BadSettings, match="A restore into this database has not ended"):
        await server.set_up()


async def test_a_missing_trigger_is_named(server: Server) -> None:
    await owned_by_the_region(server)
    await plant(server, "drop trigger audit_entry_append_only on audit_entry")
    with pytest.raises(BadSettings, match=r"missing: trigger audit_entry_append_only on public\.audit_entry"):
        await server.set_up()


async def test_no_other_role_keeps_a_right_with_which_it_could_come_back(server: Server) -> None:
    other = f"other-{server.target.role}"
    await owned_by_the_region(server)
    await server.execute(f'create role "{other}"')
    try:
        await plant(
            server,
            f'grant all on all tables in schema public to "{other}"; grant all on schema public to "{other}"; '
            f'grant update (content) on audit_entry to "{other}", public; '
            f'grant execute on function audit_write(text[]) to "{other}", public, "{{role}}"',
        )
        await server.set_up()
        rights = f"""
            select has_table_privilege('{other}', 'machine', 'select')
               and not has_table_privilege('{other}', 'machine', 'trigger, truncate')
               and not has_any_column_privilege('{other}', 'audit_entry', 'update')
               and not has_table_privilege('{other}', 'audit_retention', 'insert, update, delete')
               and not has_schema_privilege('{other}', 'public', 'create')
               and not has_function_privilege('{other}', 'audit_write(text[])', 'execute')
               and not has_function_privilege('{server.target.role}', 'audit_write(text[])', 'execute')
        """
        assert await server.value(rights) is True
    finally:
        await server.execute(f'drop owned by "{other}"', dsn=server.in_database)
        await server.execute(f'drop role "{other}"')


async def test_what_belongs_to_a_superuser_or_lies_elsewhere_stays(server: Server) -> None:
    """A function of the administrator, and what another role has in a schema of its own."""
    other = f"other-{server.target.role}"
    await server.set_up()
    await server.execute(f'create role "{other}"')
    try:
        await server.execute(
            "create function report() returns integer language sql as 'select 1'",
            f'create schema reports authorization "{other}"; set role "{other}"; '
            "create view reports.one as select 1; create table reports.two (id serial check (id > 0))",
            dsn=server.in_database,
        )
        await server.set_up()
    finally:
        await server.execute(f'drop owned by "{other}"', dsn=server.in_database)
        await server.execute(f'drop role "{other}"')


async def test_the_session_of_the_owner_leads_nowhere_else(server: Server) -> None:
    await server.set_up()
    dsn = await service.begin_as_owner(server.administrator, server.target)
    session = await connect(dsn, application_name="test")
    try:
        for way in ("set role none", "reset role", "reset session authorization", "reset all"):
            await session.execute(way)
            assert (
                await session.fetchval("select array[session_user, current_user]::text[]") == [server.target.owner] * 2
            )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute("set session authorization postgres")
    finally:
        await session.close()
    await service.end_as_owner(server.administrator, server.target)
    with pytest.raises(BadSettings, match="is not permitted to log in"):
        await server.value("select 1", dsn=dsn)


async def test_the_region_cannot_name_a_superuser_as_the_owner(server: Server) -> None:
    """What the region's session says of its database may be an answer of its own functions."""
    await server.set_up()
    posing = Server(server.administrator, server.target.of(server.target.dsn, "postgres"))
    with pytest.raises(BadSettings, match=f"belongs to {server.target.owner}"):
        await service.begin_as_owner(posing.administrator, posing.target)
    assert await server.value("select rolcanlogin from pg_roles where rolname = 'postgres'") is True
