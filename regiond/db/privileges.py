"""Grants the region's role what a serving region needs, where another role owns the tables.

The region's role reads everything, and changes the rows of all tables but those that protect the audit trail and the
schema. It cannot create, alter, drop or truncate anything, and cannot set a sequence back (docs/decisions/0075).
"""

from __future__ import annotations

from attrs import frozen

from common.errors import BadSettings
from regiond.db.pool import Db
from regiond.db.stored_code import SCHEMA

# Of the first three, only the functions of the trail change rows, with the rights of their owner.
READ_ONLY_TABLES = ("audit_entry", "audit_chain", "audit_retention", "schema_migration")

# Only other functions call them, with the rights of their owner.
_PRIVATE_FUNCTIONS = ("audit_write",)

_ELSEWHERE = "(database on another computer: --server -)"  # of `init` and `migrate`
_MIGRATE = f"innkeeper region migrate {_ELSEWHERE}"

# Of tables that somebody else has put there, the owner of Innkeeper's grants nothing. Other roles may read; they get no
# right with which they could have code run with those of the owner, or change the audit trail, from whoever owned the
# tables before. Names have no schema of their own: an administrator's session runs this too.
_STATEMENTS = """
    with ours as (
        select c.oid, case relkind when 'S' then 'sequence' else 'table' end as kind, relkind, relname, relacl
          from pg_catalog.pg_class c
         where relnamespace = pg_catalog.to_regnamespace($3) and relkind in ('r', 'p', 'v', 'm', 'S')
           and relowner = (select oid from pg_catalog.pg_roles where rolname = $4)
    ),
    held as (
        select kind, oid::regclass::text as name, privilege_type as privilege, grantee, relname, relkind
          from ours, pg_catalog.aclexplode(relacl)
        union all
        select kind, ours.oid::regclass::text, pg_catalog.format('%s (%I)', privilege_type, attname), grantee, relname,
               relkind
          from ours join pg_catalog.pg_attribute on attrelid = ours.oid, pg_catalog.aclexplode(attacl)
        union all
        select 'function', p.oid::regprocedure::text, privilege_type, grantee, proname, 'f'
          from pg_catalog.pg_proc p, pg_catalog.aclexplode(proacl)
         where pronamespace = pg_catalog.to_regnamespace($3) and proname::text = any($5::text[])
        union all
        select 'schema', pg_catalog.quote_ident(nspname), privilege_type, grantee, nspname, 'n'
          from pg_catalog.pg_namespace, pg_catalog.aclexplode(nspacl) where nspname = $3 and privilege_type = 'CREATE'
           and grantee <> nspowner
    )
    select pg_catalog.format('revoke %s on %s %s from %s cascade', privilege, kind, name,
                  case grantee when 0 then 'public' else pg_catalog.quote_ident(rolname) end) as statement
      from held left join pg_catalog.pg_roles r on r.oid = grantee
     where coalesce(rolname <> $4 and (rolname <> $1 or relkind = 'f'), true)
       and (relkind in ('f', 'n') or privilege !~ '^(SELECT|USAGE|INSERT|UPDATE|DELETE)'
            or relname::text = any($2::text[]) and privilege !~ '^SELECT')
    union all
    select pg_catalog.format(one, $3::text, $1::text, pg_catalog.current_database())
      from pg_catalog.unnest(array[
        'revoke create on schema %1$I from public, %2$I',
        'grant usage on schema %1$I to %2$I',
        'revoke create, temporary on database %3$I from public, %2$I',
        'grant connect on database %3$I to %2$I'
      ]) one
    union all
    select pg_catalog.format('revoke all on %1$s %2$s from %3$I; grant %4$s on %1$s %2$s to %3$I',
                  kind, oid::regclass, $1::text,
                  case when relkind = 'S' then 'usage, select'
                       when relname::text = any($2::text[]) then 'select'
                       else 'select, insert, update, delete' end)
      from ours
"""
# Of a schema without tables: whether they can be created. A superuser has the rights of every role.
_MAY_CHANGE = """
    select current_user as role, table_owner is not null as has_tables,
           coalesce(pg_has_role(table_owner, 'usage'), has_schema_privilege(current_schema(), 'create')) as may_change
      from (select (select relowner from pg_class where oid = to_regclass('schema_migration')) as table_owner) found
"""

# A restore lends the region's role the rights of the owner. Then it still has those that `grant` has given it: it can
# connect, and nobody can make temporary tables. Where it has made the tables itself, or is to make them, it is a member
# of the group that owns the database.
_DATABASE_OWNER = """
    select current_user::text as role, pg_get_userbyid(datdba)::text as owner,
           pg_has_role(datdba, 'usage') as has_rights,
           exists (select from aclexplode(datacl)
                    where grantee = current_user::regrole and grantor = datdba and grantee <> datdba)
           and not exists (select from aclexplode(datacl) where grantee = 0 and privilege_type = 'TEMPORARY')
           and coalesce((select relowner from pg_class where oid = to_regclass('schema_migration')), datdba) = datdba
           as has_grants,
           to_regclass('schema_migration') is not null as has_tables
      from pg_database where datname = current_database()
"""


@frozen(kw_only=True)
class DatabaseOwner:
    """The owner of the database, and what the role of a connection may do. `has_grants`: it has those of `grant`."""

    role: str
    owner: str
    has_rights: bool
    has_grants: bool
    has_tables: bool

    @property
    def is_ours(self) -> bool:
        """True if the role has the rights of the owner for good."""
        return self.has_rights and not self.has_grants

    @property
    def is_lent(self) -> bool:
        return self.has_rights and self.has_grants


async def grant(db: Db, role: str, *, owner: str | None = None) -> None:
    """Gives `role` these rights and no others, as the `owner` of the database; None: the session's role. Idempotent.

    Call it in the transaction that changes the schema: the region never sees a table that it may not use.
    """
    owner = owner or await db.fetchval("select current_user::text")
    names = (role, READ_ONLY_TABLES, SCHEMA, owner, _PRIVATE_FUNCTIONS)
    for statement in [row["statement"] for row in await db.fetch(_STATEMENTS, *names)]:
        await db.execute(statement)


async def database_owner(db: Db) -> DatabaseOwner:
    row = await db.fetchrow(_DATABASE_OWNER)
    if row is None:
        raise BadSettings("The database has no owner.")
    return DatabaseOwner(**row)


async def check_not_lent(db: Db) -> None:
    """Raises BadSettings, with what helps, while a restore lends the connection's role the rights of the owner.

    With them, the role could change the audit trail, and tables that it creates would belong to it.
    """
    found = await database_owner(db)
    if not found.is_lent:
        return
    lent = (
        f"The role {found.role} has the rights of {found.owner}, the owner of the database, as during a restore. "
        "Nothing was changed. If no restore runs, one was interrupted: as root on this computer,"
    )
    if found.has_tables:
        raise BadSettings(f"{lent} take the rights back with: {_MIGRATE}", setting="database")
    raise BadSettings(
        f"{lent} repeat the restore, or make an empty installation with: innkeeper region init {_ELSEWHERE}",
        setting="database",
    )


async def check_owner(db: Db) -> None:
    """Raises BadSettings, with the command to use, unless the role of the connection may change the schema."""
    row = await db.fetchrow(_MAY_CHANGE)
    if row is None or row["may_change"]:
        return
    if row["has_tables"]:
        raise BadSettings(
            f"The database has the schema of an older release, and the role {row['role']} may not change it. Nothing "
            f"was changed. Run this as root on this computer, then start the region: {_MIGRATE}",
            setting="database",
        )
    raise BadSettings(
        f"The database has no tables, and the role {row['role']} may not create them. Run this as root on this "
        f"computer: innkeeper region init {_ELSEWHERE}",
        setting="database",
    )
