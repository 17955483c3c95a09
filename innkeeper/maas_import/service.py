"""Reads what a MAAS knew of its VM hosts from a dump of its database, or from the database itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from common.errors import InvalidRequest
from common.maas.inventory import Inventory, SourceKind
from innkeeper.maas_import import database as maas_database
from innkeeper.maas_import.dump_file import opened_script
from innkeeper.maas_import.inventory import inventory_of
from innkeeper.maas_import.schema import is_maas
from innkeeper.maas_import.script import Script, read_script
from innkeeper.maas_import.stopping import Stop
from innkeeper.maas_import.tables import Tables


async def read_dump(path: Path, *, database: str | None = None, restorers: Sequence[str] | None = None) -> Inventory:
    """Returns the inventory of a dump in any form of `pg_dump` or `pg_dumpall`, without a server.

    `database` chooses one of several in the dump; `restorers` replaces the places where `pg_restore` is looked for.
    Raises InvalidRequest, which says what was found and what helps.
    """
    stop = Stop()
    try:
        return await asyncio.to_thread(_read_dump, path, database, restorers, stop)
    except asyncio.CancelledError:
        stop.stop()
        raise


async def read_database(dsn: str) -> Inventory:
    """Returns the inventory of a database, which is only read, as one moment had it.

    Raises BadSettings, DatabaseUnavailable, and InvalidRequest for a database of something else.
    """
    tables = await maas_database.read_tables(dsn)
    label = maas_database.described(dsn)
    return await asyncio.to_thread(
        inventory_of, tables, kind=SourceKind.DATABASE, label=label, source=f"The database {label}"
    )


def _read_dump(path: Path, database: str | None, restorers: Sequence[str] | None, stop: Stop) -> Inventory:
    with opened_script(path, stop=stop, restorers=restorers) as stream:
        script = read_script(stop.checked(stream), database=database)
    tables = _chosen(script, path, database)
    return inventory_of(tables, kind=SourceKind.DUMP, label=path.name, source=f"The dump {path.name}")


def _chosen(script: Script, path: Path, database: str | None) -> Tables:
    """The database of MAAS. A dump of one database does not say its name."""
    found = {name: tables for name, tables in script.databases.items() if is_maas(tables)}
    if database is not None and (database in script.databases or "" not in found):
        if database not in found:
            others = ", ".join(sorted(found)) or "none"
            raise InvalidRequest(
                f"{path.name} has no database {database} of MAAS; those of MAAS in it: {others}.", field="database"
            )
        return found[database]
    if len(found) > 1:
        raise InvalidRequest(
            f"{path.name} has several databases of MAAS: {', '.join(sorted(found))}. Choose one with --database.",
            field="database",
        )
    if found:
        return next(iter(found.values()))
    if not script.blocks:
        raise InvalidRequest(
            f"{path.name} has no rows of a dump of PostgreSQL: it is something else, or was made with --schema-only."
        )
    names = {one for tables in script.databases.values() for one in (*tables.columns, *tables.others)}
    return Tables(others=names)
