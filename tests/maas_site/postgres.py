"""The made-up site in a real PostgreSQL, beside tables that no import needs, and dumps by PostgreSQL's programs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from regiond.backup import programs
from regiond.db.pool import connect
from tests.maas_site.tables import Row, Tables
from tests.postgresql.database import as_superuser

_TYPES = {
    "ip": "inet", "start_ip": "inet", "end_ip": "inet", "gateway_ip": "inet", "cidr": "cidr", "value": "jsonb",
    "power_parameters": "jsonb", "instance_power_parameters": "jsonb", "params": "jsonb", "cores": "int4[]",
    "pinned_cores": "int4[]", "tags": "text[]", "dns_servers": "text[]", "architectures": "text[]",
    "capabilities": "text[]", "disabled_boot_architectures": "text[]", "created": "timestamptz",
    "updated": "timestamptz", "power_state_updated": "timestamptz", "power_state_queried": "timestamptz",
    "temp_expires_on": "timestamptz", "date_joined": "timestamptz", "last_login": "timestamptz",
    "applied": "timestamptz", "ttl": "int4", "address_ttl": "int4", "metadata": "jsonb",
}  # fmt: skip
# A text, and numbers.
_OTHERWISE = {("maasserver_ownerdata", "value"), ("maasserver_bmc", "cores"), ("maasserver_podhints", "cores")}
# What every MAAS has besides: long rows, rows that look like a dump's own lines, functions, other schemas.
_UNWANTED = r"""
    create table public.maasserver_event (id bigint, description text, action text);
    insert into public.maasserver_event
      select n, E'a\tb\nCOPY public.maasserver_node (id) FROM stdin;\n\\.\n\\connect other\n', repeat('x', 100000)
        from generate_series(1, 20) n;
    create table public.django_session (session_key text, session_data text);
    insert into public.django_session values ('session', 'signed in');
    create table public.tuple (object_type text, object_id text, relation text, _user text);
    insert into public.tuple values ('group', '1', 'member', 'user:4');
    create schema temporal;
    create table temporal.maasserver_node (id bigint, system_id text);
    insert into temporal.maasserver_node values (1, 'no node');
    create function public.notify_nodes() returns trigger language plpgsql as $$
      begin
        perform pg_notify('machine_update', 'x');
        return null;
      end $$;
    create view public.maasserver_podhost as select 1 as one;
"""


async def build(dsn: str, tables: Tables, *, reverse_columns: bool = False) -> None:
    """Fills the empty database. Upgraded installations have other orders of columns than fresh ones."""
    connection = await connect(dsn, application_name="test")
    try:
        await connection.execute(_UNWANTED)
        for name, rows in tables.items():
            await _fill(connection, name, rows, reverse_columns=reverse_columns)
        await connection.execute(
            "create trigger notify after update on public.maasserver_node execute function public.notify_nodes()"
        )
    finally:
        await connection.close()


async def _fill(connection: Any, name: str, rows: list[Row], *, reverse_columns: bool) -> None:
    schema, _, table = name.rpartition(".")
    if schema:
        await connection.execute(f'create schema "{schema}"')
    place = f'"{schema or "public"}"."{table}"'
    columns = list(rows[0]) if rows else _EMPTY[table]
    definitions = [f'"{one}" {_type(table, one, (row[one] for row in rows))}' for one in columns]
    await connection.execute(
        f"create table {place} ({', '.join(reversed(definitions) if reverse_columns else definitions)})"
    )
    await connection.execute(
        f"insert into {place} select * from jsonb_populate_recordset(null::{place}, $1::text::jsonb)",  # noqa: S608
        json.dumps(rows),
    )


_EMPTY = {"maasserver_vaultsecret": ["id", "path", "deleted", "created", "updated"]}


def _type(table: str, column: str, values: Iterable[object]) -> str:
    if column in _TYPES and (table, column) not in _OTHERWISE:
        return _TYPES[column]
    if column == "deleted":
        return "boolean"
    value = next((one for one in values if one is not None), None)
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "float8"
    return "bigint" if isinstance(value, int) or (value is None and column.endswith("_id")) else "text"


class Programs:
    """PostgreSQL's programs of the server's release, or the next newer ones that are here."""

    def __init__(self, release: int) -> None:
        self.folder = Path(programs.find("pg_dump", at_least=release).path).parent
        if not (self.folder / "pg_dumpall").exists():
            self.folder = self.folder.resolve()

    @property
    def restorer(self) -> str:
        return str(self.folder / "pg_restore")

    def dump(self, dsn: str, target: Path, *options: str) -> Path:
        """Writes a dump of the database; returns its path."""
        return self._run("pg_dump", dsn, target, *options)

    def dump_all(self, dsn: str, target: Path, *options: str) -> Path:
        """Writes a dump of all databases of the server, as MAAS's guide says."""
        return self._run("pg_dumpall", as_superuser(dsn), target, "--clean", *options)

    def _run(self, program: str, dsn: str, target: Path, *options: str) -> Path:
        subprocess.run(
            [str(self.folder / program), f"--dbname={dsn}", f"--file={target}", *options], check=True, timeout=120
        )
        return target
