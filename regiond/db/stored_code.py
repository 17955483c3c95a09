"""Lists what a database can execute, and compares it with what the migrations make (docs/decisions/0075).

Whoever owns a database can put code there that a later statement of somebody else runs: a function with the name of one
of PostgreSQL's own, a trigger, a default, a rule. Nothing here runs any of it: only the system catalog is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping

from attrs import field, frozen

from common.words.phrases import first_of
from regiond.db.migration_files import CREATE_TABLE, Migration
from regiond.db.pool import Db

SCHEMA = "public"  # of Innkeeper's tables
# Of sessions with more rights than the region's: a name without a schema is one of PostgreSQL's own.
SYSTEM_PATH = {"search_path": "pg_catalog, pg_temp"}
_SHOWN = 8
_TABLE = "table "  # others may have tables; those of Innkeeper have to be there, and to belong to its roles

# Definitions are texts that PostgreSQL makes of what it has parsed; none of them evaluates anything. The numbers of a
# sequence are no code. What others have in schemas of their own, no session of Innkeeper reaches: `is_theirs`. Of a
# role that has owned the database or its tables, nothing is theirs. PostgreSQL's own objects have ids below 16384. No
# backslash stands here: what it means in a text is a setting of the database.
_STORED = """
    with role as (select oid, rolsuper from pg_roles),
    former as (
        select datdba as oid from pg_database where datname = current_database()
        union select relowner from pg_class where relnamespace = to_regnamespace($2)
        union select oid from pg_roles where rolname = any($1::text[])
    ),
    taken_over as (  -- with the database, so Innkeeper's tables and functions have to be theirs
        select datdba as oid from pg_database where datname = current_database()
        union select relowner from pg_class where relnamespace = to_regnamespace($2)
                                              and relname in ('audit_entry', 'schema_migration')
        union select oid from pg_roles where rolsuper or rolname = any($1::text[])
    ),
    schema as (
        select oid, nspname = $2 as is_ours from pg_namespace
         where nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
           and not starts_with(nspname::text, 'pg_temp_') and not starts_with(nspname::text, 'pg_toast_temp_')
    ),
    relation as (
        select c.oid, c.relkind, c.relowner, c.relnamespace, c.oid::regclass::text as name, c.relrowsecurity,
               c.relforcerowsecurity
          from pg_class c where c.relnamespace in (select oid from schema)
    ),
    generic as (  -- of these, the migrations make none
        select 'pg_operator'::regclass as class, oid, oprowner as owner, oprnamespace as namespace from pg_operator
        union all select 'pg_opclass'::regclass, oid, opcowner, opcnamespace from pg_opclass
        union all select 'pg_opfamily'::regclass, oid, opfowner, opfnamespace from pg_opfamily
        union all select 'pg_conversion'::regclass, oid, conowner, connamespace from pg_conversion
        union all select 'pg_collation'::regclass, oid, collowner, collnamespace from pg_collation
        union all select 'pg_ts_dict'::regclass, oid, dictowner, dictnamespace from pg_ts_dict
        union all select 'pg_ts_config'::regclass, oid, cfgowner, cfgnamespace from pg_ts_config
        union all select 'pg_language'::regclass, oid, lanowner, 0 from pg_language
        union all select 'pg_foreign_data_wrapper'::regclass, oid, fdwowner, 0 from pg_foreign_data_wrapper
        union all select 'pg_foreign_server'::regclass, oid, srvowner, 0 from pg_foreign_server
        union all select 'pg_publication'::regclass, oid, pubowner, 0 from pg_publication
        union all select 'pg_extension'::regclass, oid, extowner, 0 from pg_extension
        union all select 'pg_event_trigger'::regclass, e.oid, p.proowner, 0
                    from pg_event_trigger e join pg_proc p on p.oid = e.evtfoid
        union all select one.class, one.oid, (select extowner from pg_extension x join pg_depend d on d.refobjid = x.oid
                            where d.classid = one.class and d.objid = one.oid and d.deptype = 'e'
                              and d.refclassid = 'pg_extension'::regclass), 0
                    from (select 'pg_cast'::regclass as class, oid from pg_cast
                          union all select 'pg_transform'::regclass, oid from pg_transform
                          union all select 'pg_am'::regclass, oid from pg_am) one
    ),
    found (kind, name, definition, owner, namespace) as (
        select 'function', p.oid::regprocedure::text,
               concat(case when prokind = 'a' then (select a::text from pg_aggregate a where aggfnoid = p.oid)
                           else pg_get_functiondef(p.oid) end,
                      case when proowner not in (select oid from taken_over) then 'of another role' end),
               proowner, pronamespace
          from pg_proc p where pronamespace in (select oid from schema)
        union all
        select 'table', name, case when relowner not in (select oid from taken_over) then 'of another role' end,
               relowner, relnamespace
          from relation where relkind = 'r'
        union all
        select 'trigger', format('%I on %s', tgname, r.name), concat_ws(' ', tgenabled, pg_get_triggerdef(t.oid)),
               r.relowner, r.relnamespace
          from pg_trigger t join relation r on r.oid = t.tgrelid where not tgisinternal
        union all
        select case relkind when 'r' then 'rule' when 'p' then 'rule' else 'view' end,
               case when relkind in ('r', 'p') then format('%I on %s', rulename, r.name) else r.name end,
               concat_ws(' ', ev_enabled, pg_get_ruledef(w.oid)), r.relowner, r.relnamespace
          from pg_rewrite w join relation r on r.oid = w.ev_class
        union all
        select 'default', format('%s.%I', r.name, attname), concat_ws(' ', attgenerated, expression), r.relowner,
               r.relnamespace
          from pg_attrdef d join relation r on r.oid = d.adrelid
          join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum,
               pg_get_expr(d.adbin, d.adrelid) expression
         where expression !~ '^nextval[(]''[^'']*''::regclass[)]$'
        union all
        select 'constraint', format('%I on %s', conname, coalesce(r.name, contypid::regtype::text)),
               concat_ws(' ', convalidated, pg_get_constraintdef(k.oid)), coalesce(r.relowner, typowner),
               connamespace
          from pg_constraint k left join relation r on r.oid = conrelid left join pg_type y on y.oid = contypid
         where contype in ('c', 'x', 't') and connamespace in (select oid from schema)
        union all
        select 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), r.relowner, r.relnamespace
          from pg_index i join relation r on r.oid = i.indrelid where indexprs is not null or indpred is not null
        union all
        select 'statistics', format('%I.%I', stxnamespace::regnamespace::text, stxname),
               pg_get_statisticsobjdef(s.oid), stxowner, stxnamespace
          from pg_statistic_ext s where stxexprs is not null and stxnamespace in (select oid from schema)
        union all
        select 'policy', format('%I on %s', polname, r.name),
               concat_ws(' ', polcmd, polpermissive, polroles::text, pg_get_expr(polqual, polrelid),
                         pg_get_expr(polwithcheck, polrelid)), r.relowner, r.relnamespace
          from pg_policy p join relation r on r.oid = p.polrelid
        union all
        select 'row security', name, relforcerowsecurity::text, relowner, relnamespace
          from relation where relrowsecurity or relforcerowsecurity
        union all
        select case relkind when 'f' then 'foreign table' else 'partitioned table' end, name, '', relowner, relnamespace
          from relation where relkind in ('f', 'p')
        union all  -- a statement on the parent runs the triggers of the child
        select 'child table', c.name, '', p.relowner, p.relnamespace
          from pg_inherits join relation c on c.oid = inhrelid join relation p on p.oid = inhparent
         where c.relkind in ('r', 'p', 'f')
        union all
        select 'type', format_type(y.oid, null),
               concat_ws(' ', typtype, format_type(typbasetype, typtypmod), typnotnull, typdefault, typinput,
                         typoutput), typowner, typnamespace
          from pg_type y left join pg_class c on c.oid = typrelid
         where typnamespace in (select oid from schema) and (typtype <> 'c' or c.relkind = 'c')
           and not exists (select from pg_type of where of.typarray = y.oid)
        union all
        select one.type, one.identity, '', g.owner, g.namespace
          from generic g, pg_identify_object(g.class, g.oid, 0) one where g.oid >= 16384
        union all
        select 'setting', 'search_path of the database', '', datdba, 0
          from pg_db_role_setting join pg_database d on d.oid = setdatabase, unnest(setconfig) one
         where datname = current_database() and setrole = 0 and starts_with(one, 'search_path=')
    )
    select kind || ' ' || name as name, coalesce(definition, '') as definition,
           coalesce((select rolsuper from role where oid = owner), false)
           or coalesce(namespace in (select oid from schema where not is_ours)
                       and owner not in (select oid from former), false) as is_theirs
      from found order by 1
"""


@frozen(kw_only=True)
class StoredCode:
    """The digests of what a database can execute, by kind and name. `theirs`: names of what is left to its owners."""

    digests: Mapping[str, str] = field(factory=dict)
    theirs: frozenset[str] = frozenset()

    def differences(self, made: StoredCode) -> tuple[str, ...]:
        """Returns in words how this differs from what the migrations have `made`; nothing that is left to others."""
        here = self.digests
        foreign = [
            name
            for name in here
            if name not in made.digests and name not in self.theirs and not name.startswith(_TABLE)
        ]
        changed = [name for name, digest in made.digests.items() if here.get(name, digest) != digest]
        missing = [name for name in made.digests if name not in here]
        found = (("not made by Innkeeper", foreign), ("changed", changed), ("missing", missing))
        return tuple(f"{what}: {first_of(sorted(names, key=_order), _SHOWN)}" for what, names in found if names)

    def of_kind(self, kind: str) -> StoredCode:
        return StoredCode(
            digests={name: one for name, one in self.digests.items() if name.startswith(f"{kind} ")}, theirs=self.theirs
        )


def _order(name: str) -> tuple[bool, str]:
    """The key by which what runs by itself comes first."""
    return not name.startswith(("function ", "trigger ", "event trigger ", "rule ")), name


async def stored_code(db: Db, *, roles: Collection[str] = ()) -> StoredCode:
    """Reads the catalog with the session's search path as in `SYSTEM_PATH`.

    A superuser's objects are left to it, and those that roles other than `roles`, and the owners of the database and
    its tables, have in other schemas.
    """
    rows = await db.fetch(_STORED, list(roles), SCHEMA)
    return StoredCode(
        digests={row["name"]: hashlib.sha256(row["definition"].encode()).hexdigest() for row in rows},
        theirs=frozenset(row["name"] for row in rows if row["is_theirs"]),
    )


async def code_of(db: Db, migrations: Iterable[Migration]) -> StoredCode:
    """Returns what the migrations make, in an empty database and within the transaction of the caller.

    The caller rolls back, or continues with the tables. Changes the search path until then.
    """
    await db.execute(f"set local search_path = {SCHEMA}, pg_temp")
    await db.execute(CREATE_TABLE)
    for one in migrations:
        await db.execute(one.within_transaction)
    await db.execute(f"set local search_path = {SYSTEM_PATH['search_path']}")
    return await stored_code(db)
