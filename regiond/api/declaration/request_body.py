"""Parses request bodies: JSON, and forms as browsers, the maas CLI, libmaas and Ansible send.

Any bytes give either values or an InvalidRequest with the reason.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from attrs import evolve, field, frozen
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from common.errors import InvalidRequest
from regiond.api.declaration.field_types import JsonArray
from regiond.api.declaration.fields import Submitted

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_JSON_VALUES = 100_000  # also counts commas and brackets in texts
MAX_ESCAPES = 150_000  # such as %2B in a form; base64 of MAX_BODY_BYTES has fewer
MULTIPART = "multipart/form-data"
CONTENT_TYPE = "application/octet-stream"
_MAX_VALUES = 2000
_CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "ascii": "ascii", "us-ascii": "ascii", "iso-8859-1": "latin-1"}
_PLAIN_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})


@frozen(kw_only=True)
class Body:
    """The parsed body. `op` is the op that a form names; JSON bodies have none.

    `signature` holds the OAuth parameters of a form; they are never passed to an endpoint. `files` are the parts of a
    multipart form that have a file name. `content` is a body that is no form but data.
    """

    values: Submitted = field(factory=dict)
    op: str | None = None
    signature: Sequence[tuple[str, str]] = ()
    files: Mapping[str, bytes] = field(factory=dict)
    content: bytes | None = None


def read_body(content_type: str | None, body: bytes) -> Body:
    """Parses the body by its type; a body of an unknown type counts as empty. Raises InvalidRequest."""
    kind, options = parse_options_header(content_type or "")
    if kind in {"", "application/x-www-form-urlencoded"}:
        return _form(read_query(_decoded(body, options.get("charset", "utf-8"), "The form")))
    if kind == MULTIPART:
        return _multipart(options.get("boundary", ""), body)
    if kind == "application/json":
        return Body(values=_json_values(_decoded(body, options.get("charset", "utf-8"), "The JSON body")))
    if kind == CONTENT_TYPE:
        return Body(content=body)
    return Body()


def is_content(content_type: str | None) -> bool:
    """Whether a body of this type is data, not fields."""
    kind: str = parse_options_header(content_type or "")[0]
    return kind == CONTENT_TYPE


def read_query(text: str) -> Sequence[tuple[str, str]]:
    """The pairs of a query string or an urlencoded form, in order."""
    escapes = text.count("%")  # each takes time and 60 times its size in memory
    if escapes > MAX_ESCAPES:
        raise InvalidRequest(
            f"Bad Request: the form has {escapes} percent signs; the limit is {MAX_ESCAPES}. Use multipart/form-data."
        )
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_VALUES)
    except UnicodeDecodeError:
        raise InvalidRequest("Bad Request: the parameters are not valid UTF-8.") from None
    except ValueError:
        raise InvalidRequest(f"Bad Request: there are more than {_MAX_VALUES} parameters.") from None


def grouped(pairs: Iterable[tuple[str, str]]) -> Submitted:
    """Groups the values of repeated keys; leaves out `op`, `format` and the OAuth parameters."""
    values: dict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        if name not in {"op", "format"} and not name.startswith("oauth_"):
            values[name].append(value)
    return dict(values)


def _form(pairs: Sequence[tuple[str, str]]) -> Body:
    ops = [value for name, value in pairs if name == "op"]
    signature = [(name, value) for name, value in pairs if name.startswith("oauth_")]
    return Body(values=grouped(pairs), op=ops[-1] if ops else None, signature=signature)


def _decoded(body: bytes, charset: str, what: str) -> str:
    known = _CHARSETS.get(charset.lower())
    if known is None:
        raise InvalidRequest(f"Bad Request: the charset {charset[:40]!r} is not supported; use UTF-8.")
    try:
        return body.decode(known)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"Bad Request: {what} is not valid {known}, at byte {error.start}.") from None


def _multipart(boundary: str, body: bytes) -> Body:
    if not boundary or not boundary.isascii() or len(boundary) > 200:
        raise InvalidRequest("Bad Request: the multipart body has no valid boundary.")
    if _has_no_parts(boundary.encode("ascii"), body):
        return Body()
    pairs: list[tuple[str, str]] = []
    files: dict[str, bytes] = {}
    try:
        with PushMultipartParser(boundary, max_segment_count=_MAX_VALUES, strict=False) as parser:
            for segment, content in _parts(parser.parse(body)):
                if segment.filename is None:
                    pairs.append((segment.name or "", _part_text(segment, content)))
                else:
                    files[segment.name or ""] = _part_bytes(segment, content)
    except MultipartError as error:
        raise InvalidRequest(f"Bad Request: the multipart body is malformed: {error}") from None
    return evolve(_form(pairs), files=files)


def _parts(events: Iterable[MultipartSegment | bytearray | None]) -> Iterator[tuple[MultipartSegment, bytes]]:
    """Each part is a segment, its content, and None."""
    segment: MultipartSegment | None = None
    content = bytearray()
    for event in events:
        if isinstance(event, MultipartSegment):
            segment, content = event, bytearray()
        elif event is not None:
            content += event
        elif segment is not None:
            yield segment, bytes(content)


def _has_no_parts(boundary: bytes, body: bytes) -> bool:
    """Whether the form is empty. libmaas opens a part and closes the form, Ansible only closes it."""
    delimiter = re.escape(b"--" + boundary)
    return (
        not body.strip() or re.fullmatch(rb"\s*(?:" + delimiter + rb"\s+)?" + delimiter + rb"--\s*", body) is not None
    )


def _part_text(segment: MultipartSegment, content: bytes) -> str:
    return _decoded(_part_bytes(segment, content), segment.charset or "utf-8", _described(segment))


def _described(segment: MultipartSegment) -> str:
    return f"The part {(segment.name or '')[:80]!r}"


def _part_bytes(segment: MultipartSegment, content: bytes) -> bytes:
    """Without the transfer encoding, which the maas CLI uses for every part."""
    headers = {name.lower(): value for name, value in segment.headerlist}
    encoding = headers.get("content-transfer-encoding", "").strip().lower()
    if encoding == "base64":
        try:
            content = b64decode(b"".join(content.split()), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequest(f"Bad Request: {_described(segment)} is not valid base64.") from None
    elif encoding not in _PLAIN_ENCODINGS:
        raise InvalidRequest(f"Bad Request: {_described(segment)} has the unknown transfer encoding {encoding[:40]!r}.")
    return content


def _json_values(text: str) -> Submitted:
    if not text.strip():
        return {}
    values = 1 + sum(map(text.count, ",[{"))  # at most; counted before they take memory
    if values > MAX_JSON_VALUES:
        raise InvalidRequest(f"Bad Request: the JSON has about {values} values; the limit is {MAX_JSON_VALUES}.")
    try:
        found = json.loads(text.removeprefix("\ufeff"), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"Bad Request: malformed JSON: {error}") from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, NaN, endless nesting
        raise InvalidRequest(f"Bad Request: this JSON cannot be parsed: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise InvalidRequest("Bad Request: the JSON body is not an object.")
    if len(found) > _MAX_VALUES:
        raise InvalidRequest(f"Bad Request: there are more than {_MAX_VALUES} parameters.")
    return {name: _listed(value) for name, value in found.items() if not name.startswith("oauth_")}


def _listed(value: Any) -> tuple[object, ...]:
    return JsonArray(value) if isinstance(value, list) else (value,)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number.")
