"""SQL of a setup: finds and makes the roles and the database, and gives the tables to their owner.

Every session here is of an administrator, in a database that may have been somebody else's: its search path is that of
`SYSTEM_PATH`, and no statement reads or writes a table of the database but the plain table of the migrations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg

from common.errors import BadSettings, DatabaseUnavailable
from regiond.db.pool import Db
from regiond.db.privileges import grant
from regiond.db.stored_code import SCHEMA

# The owner logs in only while a command works as it, which this comment says of the role.
_LOGS_IN_BRIEFLY = "Owns the tables of Innkeeper. Logs in only while one of its commands changes them."
# With one of these, the region's role could give itself the rights of the owner.
_ROLE = """
    select rolcanlogin and shobj_description(oid, 'pg_authid') is distinct from $2 as logs_in,
           array_remove(array[case when rolsuper then 'superuser' end, case when rolcreaterole then 'createrole' end,
                              case when rolreplication then 'replication' end,
                              case when rolbypassrls then 'bypassrls' end], null) as attributes
      from pg_roles where rolname = $1
"""
_HAS_DATABASE = "select exists (select from pg_database where datname = $1)"
_DATABASE_OWNER = "select pg_get_userbyid(datdba)::text from pg_database where datname = current_database()"
_IS_UTF8 = "select current_setting('server_encoding') = 'UTF8'"
_IS_SUPERUSER = "select rolsuper from pg_roles where rolname = current_user"
_IS_MEMBER = "select pg_has_role($1::name, $2::name, 'member')"
_OLDER = """
    from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and xact_start < $1
                                and backend_type = 'client backend' and backend_xid is not null
"""
_HAS_OLDER = f"select exists (select {_OLDER})"
_END_OLDER = f"select pg_terminate_backend(pid) {_OLDER}"
_PREPARED = "select gid from pg_prepared_xacts where database = current_database() limit 1"
_WAITS, _WAIT_S = 50, 0.1  # a region's own are shorter
_FORMAT = "select format($1::text, variadic $2::text[])"
# To plan a query of a table evaluates parts of what its owner has added to it, so only a plain table is read. The lock
# keeps others from adding any meanwhile.
_MIGRATIONS = f"{SCHEMA}.schema_migration"
_LOCK_MIGRATIONS = f"lock table only {_MIGRATIONS} in share row exclusive mode"
_IS_PLAIN = """
    select relkind = 'r' and not relrowsecurity and not relhasrules and not relhassubclass
           and not exists (select from pg_index where indrelid = c.oid and num_nonnulls(indexprs, indpred) > 0)
           and not exists (select from pg_constraint where conrelid = c.oid and contype = 'c')
           and not exists (select from pg_statistic_ext where stxrelid = c.oid)
           and not exists (select from pg_attribute where attrelid = c.oid and attgenerated <> '')
      from pg_class c where oid = to_regclass($1)
"""
_APPLIED = f"select number, name, digest from only {_MIGRATIONS} order by number"  # noqa: S608 - constant
# The objects of Innkeeper belong to the region's role, or the audit trail to one of its own. Sequences of columns
# follow their tables. What somebody else has put into the database stays theirs.
_TRANSFERS = """
    with former as (
        select oid from pg_roles where rolname = $2
        union select relowner from pg_class
               where relnamespace = to_regnamespace($3::text) and relname in ('audit_entry', 'schema_migration')
        except select oid from pg_roles where rolname = $1
    ), here as (select to_regnamespace($3::text)::oid as schema)
    select format('alter table %s owner to %I', c.oid::regclass, $1::text)
      from pg_class c, here where relnamespace = schema and relkind in ('r', 'p', 'v', 'm')
       and relowner in (select oid from former)
    union all
    select format('alter sequence %s owner to %I', c.oid::regclass, $1::text)
      from pg_class c, here where relnamespace = schema and relkind = 'S' and relowner in (select oid from former)
       and not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i'))
    union all
    select format('alter routine %s owner to %I', p.oid::regprocedure, $1::text)
      from pg_proc p, here where pronamespace = schema and proowner in (select oid from former)
    union all
    select format('alter type %s owner to %I', t.oid::regtype, $1::text)
      from pg_type t, here
     where typnamespace = schema and typtype in ('e', 'd') and typowner in (select oid from former)
    union all
    select format('alter schema %I owner to pg_database_owner', nspname)
      from pg_namespace n, here where n.oid = schema
       and pg_get_userbyid(nspowner)::text not in ('pg_database_owner', $1::text)
"""


async def role(db: Db, name: str) -> tuple[bool, bool, tuple[str, ...]]:
    """Returns whether the role exists, whether it can log in, and its attributes that give it further rights."""
    row = await db.fetchrow(_ROLE, name, _LOGS_IN_BRIEFLY)
    return (False, False, ()) if row is None else (True, row["logs_in"], tuple(row["attributes"]))


async def has_database(db: Db, name: str) -> bool:
    found: bool = await db.fetchval(_HAS_DATABASE, name)
    return found


async def database_owner(db: Db) -> str:
    found: str = await db.fetchval(_DATABASE_OWNER)
    return found


async def applied(db: Db) -> Mapping[int, tuple[str, str]]:
    """Returns name and digest of the migrations that the database says it has, by number; none without tables.

    Raises BadSettings if the table is not as Innkeeper makes it.
    """
    if await db.fetchval(_IS_PLAIN, _MIGRATIONS) is None:
        return {}
    async with db.transaction():
        await _check_plain(db)
        await db.execute("set local lock_timeout = '10s'")
        try:
            await db.execute(_LOCK_MIGRATIONS)
        except asyncpg.LockNotAvailableError as error:
            raise DatabaseUnavailable(f"Another process uses the table {_MIGRATIONS}. Nothing was changed.") from error
        await _check_plain(db)
        return {row["number"]: (row["name"], row["digest"]) for row in await db.fetch(_APPLIED)}


async def has_tables(db: Db) -> bool:
    found: bool = await db.fetchval("select to_regclass($1) is not null", f"{SCHEMA}.installation")
    return found


async def _check_plain(db: Db) -> None:
    if not await db.fetchval(_IS_PLAIN, _MIGRATIONS):
        raise BadSettings(
            f"The table {_MIGRATIONS} has a rule, a policy, a check, an index of expressions, statistics or a child, "
            "or is a view. Innkeeper's migrations make none of these, and reading the table could run them. Nothing "
            "was changed, and nothing was run: see what it is, and drop it."
        )


async def make_owner(db: Db, name: str) -> None:
    await _execute(db, "create role %I nologin", name)


async def let_log_in(db: Db, *, owner: str, role: str, verifier: str) -> None:
    """Lets the owner log in with this password for a day at most, until `end_log_in`.

    It has the rights of the region's role meanwhile: PostgreSQL hides the sessions of other roles.
    """
    async with db.transaction():
        await _execute(db, "comment on role %I is %L", owner, _LOGS_IN_BRIEFLY)
        await _execute(db, "grant %I to %I", role, owner)
        until: str = await db.fetchval("select (now() + interval '1 day')::text")
        await _execute(db, "alter role %I login password %L valid until %L", owner, verifier, until)


async def end_log_in(db: Db, *, owner: str, role: str) -> None:
    """Idempotent."""
    await _execute(db, "alter role %I nologin password null valid until 'infinity'", owner)
    if await db.fetchval(_IS_MEMBER, owner, role):
        await _execute(db, "revoke %I from %I", role, owner)


async def may_use(db: Db, owner: str) -> None:
    """Lets an administrator that is no superuser have the rights of the owner. Idempotent."""
    if not await db.fetchval(_IS_SUPERUSER):
        await _execute(db, "grant %I to current_user", owner)


async def make_role(db: Db, name: str, verifier: str | None) -> None:
    """`verifier`: of its password; None: it has none, as on a local socket."""
    if verifier is None:
        await _execute(db, "create role %I login", name)
    else:
        await _execute(db, "create role %I login password %L", name, verifier)


async def make_database(db: Db, name: str, owner: str) -> None:
    """Creates it in UTF-8, whatever the server's own locale is."""
    if await db.fetchval(_IS_UTF8):
        await _execute(db, "create database %I owner %I", name, owner)
    else:
        await _execute(db, "create database %I owner %I encoding 'UTF8' locale 'C' template template0", name, owner)


async def make_scratch_database(db: Db, name: str) -> None:
    """Creates a database without anything of others, which belongs to the administrator."""
    await _execute(db, "create database %I encoding 'UTF8' locale 'C' template template0", name)


async def drop_scratch_database(db: Db, name: str) -> None:
    await _execute(db, "drop database if exists %I", name)


async def own_database(db: Db, name: str, owner: str) -> None:
    await _execute(db, "alter database %I owner to %I", name, owner)


async def transfer(db: Db, *, owner: str, role: str) -> int:
    """Gives the tables and functions of Innkeeper to `owner`; returns the number of changed objects. Idempotent.

    In one transaction with the rights of the region's role: a region that runs may always use its tables.
    """
    statements: Sequence[str] = [row[0] for row in await db.fetch(_TRANSFERS, owner, role, SCHEMA)]
    if not statements:
        return 0
    async with db.transaction():
        for statement in statements:
            await db.execute(statement)
        await grant(db, role, owner=owner)
    return len(statements)


async def end_older_transactions(db: Db) -> None:
    """Ends what others began in this database before now and may still add to it, after a wait.

    Who has lost a right can use it in a transaction that was open then.
    """
    began_at = await db.fetchval("select clock_timestamp()")
    for _ in range(_WAITS):
        if not await db.fetchval(_HAS_OLDER, began_at):
            break
        await asyncio.sleep(_WAIT_S)
    else:
        await db.fetch(_END_OLDER, began_at)
    if prepared := await db.fetchval(_PREPARED):
        raise BadSettings(
            f"The database has a prepared transaction {prepared!r}, which could still add code to it. Innkeeper uses "
            f"none. As a superuser in this database: rollback prepared '{prepared}';"
        )


async def take_back(db: Db, *, owner: str, role: str) -> bool:
    """Returns whether the role had the owner's rights, as a restore of earlier releases lent them. Idempotent."""
    if not await db.fetchval(_IS_MEMBER, role, owner):
        return False
    await _execute(db, "revoke %I from %I", owner, role)
    if await db.fetchval(_IS_MEMBER, role, owner):
        raise BadSettings(
            f"The role {role} has the rights of {owner} through another role: with them it could change the audit "
            f'trail. See \\du in psql, and revoke "{owner}" from that role.'
        )
    return True


async def _execute(db: Db, statement: str, *names: str) -> None:
    """Raises BadSettings if the administrator may not do that."""
    formatted: str = await db.fetchval(_FORMAT, statement, list(names))
    try:
        await db.execute(formatted)
    except asyncpg.InsufficientPrivilegeError as error:
        raise BadSettings(
            f"PostgreSQL refuses: {error}. Use a superuser, or a role with createrole and createdb."
        ) from error
