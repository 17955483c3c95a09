"""PostgreSQL's text format of rows (`COPY … TO STDOUT`), of arrays and of names, as in dumps and databases."""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^\s".,()]+)')
_BEGIN, _END = "COPY ", ") FROM stdin;"
_ARRAY_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)', re.DOTALL)


def fields_of(line: bytes) -> list[bytes | None]:
    """The fields of a line without its end; None is NULL. Escapes are resolved."""
    found: list[bytes | None] = list(line.split(b"\t"))
    if b"\\" in line:
        for place, field in enumerate(found):
            if field is not None and b"\\" in field:
                found[place] = None if field == b"\\N" else _ESCAPE.sub(_resolved, field)
    return found


def header_of(line: str) -> tuple[str, str, list[str]] | None:
    """Schema, table and columns of a `COPY` line; None if the line is something else. Without a schema: `public`."""
    if not line.startswith(_BEGIN) or not line.endswith(_END):
        return None
    table_name, parenthesis, columns = line.removeprefix(_BEGIN).removesuffix(_END).partition(" (")
    name = names_of(table_name)
    if not parenthesis or not 1 <= len(name) <= 2:
        return None
    schema, table = name if len(name) == 2 else ("public", name[0])
    return schema, table, names_of(columns)


def names_of(text: str) -> list[str]:
    """The SQL names in a text that has nothing else besides commas, dots and spaces; quotes are removed."""
    return [quoted.replace('""', '"') if quoted or not plain else plain for quoted, plain in _NAME.findall(text)]


def array_of(text: str) -> list[str] | None:
    """The items of an array of one dimension, without NULLs; None if the text is no such array."""
    if not (text.startswith("{") and text.endswith("}")):
        return None
    inner = text[1:-1]
    found: list[str] = []
    place = 0
    while place < len(inner):
        match = _ARRAY_ITEM.match(inner, place)
        if match is None:
            return None
        quoted, plain = match[1], match[2]
        if quoted is not None:
            found.append(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
        elif plain.upper() != "NULL":
            found.append(plain)
        place = match.end()
        if place < len(inner):
            if inner[place] != "," or place + 1 == len(inner):
                return None
            place += 1
    return found


def _resolved(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code in _LETTERS:
        return _LETTERS[code]
    if code[:1] == b"x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code.isdigit() and code < b"8":
        return bytes([int(code, 8) & 0xFF])
    return code
