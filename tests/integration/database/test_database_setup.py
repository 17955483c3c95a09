"""`innkeeper region init` and `migrate`: what they make, repeated, after a kill, and from what existed before."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from attrs import define

from common.errors import BadSettings, DatabaseUnavailable
from common.words.phrases import number_of
from development import postgres
from regiond.audit.service import Audit
from regiond.commands.database_setup import service
from regiond.commands.database_setup.model import Target
from regiond.db.migrate import migrate
from regiond.db.migration_files import packaged
from regiond.db.pool import Database, connect
from tests.postgresql.database import as_superuser, named
from tests.support.waiting import settle

pytestmark = pytest.mark.database
DAYS = 30


class Killed(Exception):
    """The command ends after one of its lines."""


@define
class Server:
    """A server on which a test makes roles and a database of its own."""

    administrator: str
    target: Target

    async def set_up(self, *, ends_after: int = 99) -> list[str]:
        said: list[str] = []

        def say(line: str) -> None:
            said.append(line)
            if len(said) == ends_after:
                raise Killed

        await service.check_server(self.administrator, self.target)
        await service.make_roles_and_database(self.administrator, self.target, say)
        await service.make_schema(self.administrator, self.target, DAYS, say)
        return said

    async def execute(self, *statements: str, dsn: str | None = None) -> None:
        connection = await connect(dsn or self.administrator, application_name="test")
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def value(self, query: str, *, dsn: str | None = None) -> object:
        connection = await connect(dsn or self.in_database, application_name="test")
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def lend_owner(self) -> None:
        """As restores of releases before 1.1 did for their time, which one that was killed has left."""
        await self.execute(f'grant "{self.target.owner}" to "{self.target.role}"')

    @property
    def in_database(self) -> str:
        return named(self.administrator, self.target.database)


@pytest.fixture
def server(postgres_server: str) -> Iterator[Server]:
    administrator, mine = named(as_superuser(postgres_server), "postgres"), uuid4().hex[:12]
    dsn = postgres.as_user(named(postgres_server, f"db-{mine}"), f"role-{mine}")
    target = Target.of(dsn, f"owner-{mine}")
    yield Server(administrator, target)
    settle(_remove(administrator, target))


async def _remove(administrator: str, target: Target) -> None:
    connection = await connect(administrator, application_name="test")
    try:
        await connection.execute(f'drop database if exists "{target.database}" with (force)')
        for role in (target.role, target.owner):
            await connection.execute(f'drop role if exists "{role}"')
    finally:
        await connection.close()


async def migrated(administrator: str, target: Target) -> None:
    await service.change_schema(administrator, target, lambda _: None)


@pytest.mark.slow
async def test_everything_is_made_once_and_found_the_second_time(server: Server) -> None:
    made = await server.set_up()
    assert [line.rpartition(": ")[2] for line in made[:3]] == ["created."] * 3
    assert made[3] == f"Schema: {number_of(len(packaged()), 'migration')} applied."
    found = await server.set_up()
    assert [line.rpartition(": ")[2] for line in found[:4]] == ["existed."] * 3 + ["up to date."]
    assert await migrate(server.target.dsn) == ()
    owner = "select pg_get_userbyid(datdba) || ' ' || (select rolcanlogin from pg_roles where oid = datdba)"
    assert await server.value(f"{owner} from pg_database where datname = current_database()") == (
        f"{server.target.owner} false"
    )
    assert await server.value("select at_least = interval '30 days' from audit_retention") is True
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await server.execute("create table own (id integer)", dsn=server.target.dsn)


@pytest.mark.slow
async def test_a_setup_that_is_interrupted_again_and_again_ends(server: Server) -> None:
    for step in range(1, 7):
        with pytest.raises(Killed):
            await server.set_up(ends_after=step)
    await server.set_up()
    assert await migrate(server.target.dsn) == ()


@pytest.mark.slow
async def test_the_tables_of_one_role_get_another_owner(server: Server) -> None:
    """As the guides made databases before; also with the owner of the audit trail that they advised."""
    role, audit = server.target.role, f"audit-{server.target.role}"
    await server.execute(f'create role "{role}" login', f'create role "{audit}"')
    await server.execute(f'create database "{server.target.database}" owner "{role}"')
    await migrate(server.target.dsn)
    await server.execute(
        "create table notes (id integer)",
        f'alter schema public owner to "{audit}"; alter table audit_entry owner to "{audit}"; '
        f'alter table audit_chain owner to "{audit}"; alter routine audit_prune owner to "{audit}"; '
        f'grant select on audit_entry, audit_chain to "{role}"',
        dsn=server.in_database,
    )
    region = await connect(server.target.dsn, application_name="test")
    try:
        said = await server.set_up()
        assert await region.fetchval("delete from event returning id") is None  # it runs, and never lacks a right
        assert f"now belong to {server.target.owner}" in said[3]
        owners = """
            select array_agg(distinct pg_get_userbyid(owner)::text)
              from (select relowner from pg_class where relnamespace = 'public'::regnamespace and relname <> 'notes'
                    union select proowner from pg_proc where pronamespace = 'public'::regnamespace) found (owner)
        """
        assert await server.value(owners) == [server.target.owner]
        assert await server.value("select tableowner from pg_tables where tablename = 'notes'") == "postgres"
        opened = await Database.open(server.target.dsn, min_size=1, max_size=1)
        try:
            assert (await Audit(opened).verify()).problems == ()
        finally:
            await opened.close()
    finally:
        await region.close()
        await server.execute(f'drop owned by "{audit}"', dsn=server.in_database)
        await server.execute(f'drop role "{audit}"')


async def test_a_database_of_others_is_left_alone(server: Server) -> None:
    await server.execute(f'create database "{server.target.database}"')
    await server.execute("create table precious (id integer)", dsn=server.in_database)
    with pytest.raises(BadSettings, match=r"is not Innkeeper's: it has public.precious"):
        await server.set_up()
    with pytest.raises(asyncpg.UndefinedObjectError):
        await server.execute(f'drop role "{server.target.owner}"')


async def test_a_role_with_more_rights_is_refused(server: Server) -> None:
    await server.execute(f'create role "{server.target.role}" login createrole')
    with pytest.raises(BadSettings, match=r'alter role "role-.*" nocreaterole;'):
        await server.set_up()


@pytest.mark.slow
async def test_an_administrator_need_not_be_a_superuser(server: Server) -> None:
    name = f"dba-{server.target.role}"
    await server.execute(f'create role "{name}" login createrole createdb')
    everyday = Server(postgres.as_user(server.administrator, name), server.target)
    try:
        await everyday.set_up()
        assert await migrate(server.target.dsn) == ()
    finally:
        await _remove(server.administrator, server.target)
        await server.execute(f'drop owned by "{name}"', f'drop role "{name}"')


@pytest.mark.slow
async def test_rights_that_a_restore_had_lent_are_taken_back(server: Server) -> None:
    await server.set_up()
    await server.lend_owner()
    await server.execute(f'set role "{server.target.owner}"', "create table own (id integer)", dsn=server.target.dsn)
    assert await service.foreign_owner(server.target.dsn) == server.target.owner  # the next command takes them back
    assert f"The rights of {server.target.owner} were taken from {server.target.role}." in await server.set_up()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await server.execute(f'set role "{server.target.owner}"', dsn=server.target.dsn)


async def test_no_region_starts_while_a_restore_has_the_rights_of_the_owner(server: Server) -> None:
    """A restore that is killed after its end leaves them to the region's role."""
    await server.set_up()
    await server.lend_owner()
    with pytest.raises(BadSettings, match=rf"has the rights of {server.target.owner}.*innkeeper region migrate"):
        await migrate(server.target.dsn)
    await migrated(server.administrator, server.target)
    assert await migrate(server.target.dsn) == ()


@pytest.mark.slow
async def test_no_region_makes_tables_for_a_restore_that_was_killed(server: Server) -> None:
    await service.make_roles_and_database(server.administrator, server.target, lambda _: None)
    await server.lend_owner()
    with pytest.raises(BadSettings, match=r"repeat the restore, or make an empty .* innkeeper region init"):
        await migrate(server.target.dsn)
    assert await server.value("select to_regclass('schema_migration') is null") is True
    await server.set_up()
    assert await migrate(server.target.dsn) == ()


@pytest.mark.slow
async def test_the_region_knows_whether_it_owns_its_database(server: Server, database_url: str) -> None:
    await server.set_up()
    assert await service.foreign_owner(server.target.dsn) == server.target.owner
    if "TESTS_LEAST_PRIVILEGE" not in os.environ:
        assert await service.foreign_owner(database_url) is None


async def test_a_database_of_a_group_of_the_region_is_its_own(server: Server) -> None:
    """An administrator has made it, and the region has made the tables."""
    role, group = server.target.role, server.target.owner
    await server.execute(f'create role "{group}"', f'create role "{role}" login in role "{group}"')
    await server.execute(
        f'create database "{server.target.database}" owner "{group}"',
        f'grant connect on database "{server.target.database}" to "{role}"',
    )
    await migrate(server.target.dsn)
    assert await service.foreign_owner(server.target.dsn) is None


@pytest.mark.parametrize("command", [service.check_server, service.begin_as_owner, migrated])
async def test_without_an_administrator_each_command_says_how_to_name_one(
    command: Callable[[str, Target], Awaitable[object]], server: Server, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"Nothing was changed\..*administrator of the server: --server -"):
        await command(f"postgresql://postgres@/postgres?host={tmp_path}", server.target)
