"""Lists the tables, views and sequences of a database that is to be empty or Innkeeper's."""

from __future__ import annotations

from regiond.db.pool import Db

# Those of extensions stay.
_RELATIONS = """
    select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname not in ('pg_catalog', 'information_schema') and not starts_with(n.nspname::text, 'pg_')
       and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
       and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
     order by c.relkind = 'S', 1
"""


async def relations(db: Db) -> tuple[str, ...]:
    """Returns the names of all tables, views and sequences of users, with their schemas; the sequences are last."""
    return tuple(row[0] for row in await db.fetch(_RELATIONS))
