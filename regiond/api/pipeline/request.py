"""An HTTP request as a value: its query, its body, and the endpoint that it addresses.

Parses JSON, and forms as browsers, the maas CLI, libmaas and Ansible send. Any bytes give either values or an
InvalidRequest with the reason.
"""

import asyncio
import binascii
import json
import re
import time
from base64 import b64decode
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from attrs import define, evolve, field, frozen
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from common.errors import InvalidRequest
from regiond.api.declaration.endpoint import Endpoint, PlanCheck, Resource
from regiond.api.declaration.field_types import JsonArray
from regiond.api.declaration.fields import Submitted
from regiond.api.declaration.not_part import reason_against
from regiond.requests.request_limits import Place

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_JSON_VALUES = 100_000  # also counts commas and brackets in texts
MAX_ESCAPES = 150_000  # such as %2B in a form; base64 of MAX_BODY_BYTES has fewer
MULTIPART = "multipart/form-data"
CONTENT_TYPE = "application/octet-stream"
_MAX_VALUES = 2000
_CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "ascii": "ascii", "us-ascii": "ascii", "iso-8859-1": "latin-1"}
_PLAIN_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})
LONG_BODY_BYTES = 256 * 1024  # parsed in some 2 ms; 4 MiB take some 30 ms of the event loop
_MAX_DIGITS = 6

Pairs = Sequence[tuple[str, str]]


@frozen(kw_only=True)
class ApiRequest:
    """A request before any check.

    `op_suffix` is NAME of a path that ends in `op-NAME`; `origin` is the scheme, host and port of its URL.
    `sent_method` and `sent_path` are as the client sent and signed them: the first may be HEAD, the second may have
    runs of slashes. `place` is where the request is counted; `unproven_bytes` were counted for the address before the
    body was read (`Admission`).
    """

    method: str
    query: str = ""
    body: bytes = b""
    content_type: str | None = None
    authorization: str | None = None
    prefer: str = ""
    idempotency_key: str | None = None
    last_event_id: str | None = None
    byte_range: str | None = None  # the header Range
    op_suffix: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    sent_method: str = ""
    sent_path: str = ""
    origin: str = "http://localhost"
    client_address: str = ""
    place: Place = field(factory=Place, eq=False, repr=False)
    unproven_bytes: int = 0
    check_plan: PlanCheck | None = None  # of a page

    @property
    def respond_async(self) -> bool:
        """Whether `Prefer` contains `respond-async`; it may hold several preferences, each with parameters."""
        preferences = (preference.partition(";")[0].strip().lower() for preference in self.prefer.split(","))
        return "respond-async" in preferences

    @property
    def prefer_wait_s(self) -> float | None:
        """N of `wait=N` in `Prefer` (RFC 7240): how many seconds the client waits; None without one."""
        for preference in self.prefer.split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            digits = value.strip().strip('"')
            if name.strip().lower() == "wait" and digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS:
                return float(digits)
        return None


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


def select_endpoint(resource: Resource, request: ApiRequest, query_op: str | None, body: Body) -> Endpoint:
    """Returns the endpoint for the method and op.

    Raises InvalidRequest if there is none: with the reason for what MAAS has and Innkeeper does not, else in MAAS's
    words.
    """
    op = requested_op(request, query_op, body)
    found = resource.endpoint(request.method, op)
    if found is None:
        reason = reason_against(resource, request.method, op)
        raise InvalidRequest(reason or f"Unrecognised signature: method={request.method} op={op}")
    return found


def knows_op(resource: Resource, method: str, op: str) -> bool:
    """Whether the resource has the op of a path that ends in `op-NAME`, or MAAS has it and there is a reason not to.

    Otherwise the end of the path is the name of an object, such as a machine with the hostname `op-web-1`.
    """
    op = _as_declared(op)
    return resource.endpoint(method, op) is not None or reason_against(resource, method, op) is not None


def names_op(query: str, content_type: str | None, body: bytes) -> bool:
    """Whether the query or the form has an op: then the end of a path `op-NAME` is the name of an object.

    A form that cannot be read has none here: the request is rejected for it later.
    """
    try:
        return bool(dict(read_query(query)).get("op") or read_body(content_type, body).op)
    except InvalidRequest:
        return False


def requested_op(request: ApiRequest, query_op: str | None, body: Body) -> str | None:
    """Returns the op of the query, else of the form, else of the path.

    An empty op means no op, except for an empty one in the form alone, which names no endpoint.
    """
    empty_in_form_alone = query_op is None and body.op == "" and not request.op_suffix
    op = "" if empty_in_form_alone else (query_op or body.op or request.op_suffix or None)
    return None if op is None else _as_declared(op)


def _as_declared(op: str) -> str:
    """gomaasclient writes some with hyphens, such as `is-importing`, where MAAS's have underscores."""
    return op.replace("-", "_")


@define
class BodyTurns:
    """`pause` waits for so many seconds. Bodies that wait are those that the limit of long bodies let in."""

    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def read(self, content_type: str | None, body: bytes) -> Body:
        """Returns or raises what `read_body` does; long bodies take turns."""
        if len(body) < LONG_BODY_BYTES:
            return read_body(content_type, body)
        async with self._turn:
            began = time.perf_counter()
            try:
                return read_body(content_type, body)
            finally:
                await self.pause(time.perf_counter() - began)


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
