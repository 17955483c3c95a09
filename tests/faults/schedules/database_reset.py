"""Gives each schedule a controlled region on a database that is reset to its first state, and new hosts."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from attrs import define, field

from regiond.db.pool import Database, Db, connect
from tests.faults.schedules.audit import AUDIT
from tests.faults.schedules.controlled_region import ControlledRegion, open_region
from tests.postgresql.database import as_superuser, create_database, drop_database, named

# Saves the rows of a migrated database and the next number of each sequence.
_SAVE = """
    create schema at_first;
    create table at_first.sequences as
        select format('%I.%I', schemaname, sequencename) as name, last_value from pg_sequences
         where schemaname = 'public';
    do $$
    declare one text;
    begin
        for one in select tablename from pg_tables where schemaname = 'public' loop
            execute format('create table at_first.%I as table public.%I', one, one);
        end loop;
    end $$;
"""
_RESTORE = """
    do $$
    declare one text; columns text;
    begin
        set local session_replication_role = replica; -- no order satisfies all foreign keys
        execute (select 'truncate ' || string_agg(format('public.%I', tablename), ', ') || ' restart identity'
                   from pg_tables where schemaname = 'public');
        for one, columns in
            select table_name, string_agg(format('%I', column_name), ', ') from information_schema.columns c
             where table_schema = 'public' and is_generated = 'NEVER'
               and exists (select from pg_tables where schemaname = 'public' and tablename = c.table_name)
             group by table_name
        loop
            execute format('insert into public.%I (%s) overriding system value select %s from at_first.%I',
                           one, columns, columns, one);
        end loop;
        perform setval(name::regclass, last_value) from at_first.sequences where last_value is not null;
    end $$;
"""


@define(kw_only=True)
class ResettableDatabase:
    """`template` is a migrated database of `server`. Connections and their query plans are reused between schedules."""

    folder: Path
    server: str
    template: str
    name: str = field(factory=lambda: f"innkeeper_schedules_{uuid4().hex[:12]}")
    _database: Database | None = None
    _administration: Db | None = None  # only a superuser may switch off foreign keys

    async def open(self) -> ControlledRegion:
        return await open_region(self.folder, named(self.server, self.name), await self.reset())

    async def close(self) -> None:
        if self._administration is not None:
            await self._administration.close()
        if self._database is not None:
            await self._database.close()
            await drop_database(self.server, self.name)

    async def reset(self) -> Database:
        """Returns the database in its first state. The first call makes it."""
        if self._database is None:
            dsn = await create_database(self.server, self.name, template=self.template)
            self._database = await Database.open(dsn, application_name="schedules", min_size=1, max_size=4)
            async with self._database.connection() as db:
                await db.execute(AUDIT)
                await db.execute(_SAVE)
            self._administration = await connect(as_superuser(dsn), application_name="schedules")
        elif self._administration is not None:
            await self._administration.execute(_RESTORE)
        return self._database
