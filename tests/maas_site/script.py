"""The made-up site as the plain script of a dump, without a database."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.maas_site.tables import Row, Tables

_JSON = {"power_parameters", "instance_power_parameters", "params"}
_JSON_TABLES = {"maasserver_config", "maasserver_secret"}
_FIRST = "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n\n"
_LAST = "--\n-- PostgreSQL database dump complete\n--\n\n"


def script_of(tables: Tables) -> bytes:
    """A dump with the rows of these tables, and no definitions."""
    return (_FIRST + "".join(block(name, rows) for name, rows in tables.items() if rows) + _LAST).encode()


def block(name: str, rows: Iterable[Row]) -> str:
    """The rows of one table, in the form of COPY."""
    rows = list(rows)
    place = name if "." in name else f"public.{name}"
    table = name.rpartition(".")[2]
    lines = ("\t".join(_field(_text(table, column, value)) for column, value in row.items()) for row in rows)
    return f"COPY {place} ({', '.join(rows[0])}) FROM stdin;\n" + "".join(f"{line}\n" for line in lines) + "\\.\n\n"


def _text(table: str, column: str, value: object) -> str | None:
    if value is not None and (column in _JSON or (column == "value" and table in _JSON_TABLES)):
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, list):
        return "{" + ",".join(_item(str(one)) for one in value) + "}"
    return str(value)


def _item(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _field(text: str | None) -> str:
    if text is None:
        return "\\N"
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
