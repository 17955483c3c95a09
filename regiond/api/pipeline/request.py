"""An HTTP request as a value, and the selection of the endpoint that it addresses."""

from __future__ import annotations

from attrs import field, frozen

from common.errors import InvalidRequest
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.declaration.not_part import reason_against
from regiond.api.declaration.request_body import Body, read_body, read_query
from regiond.open_requests import Place

_MAX_DIGITS = 6


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
    op_suffix: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    sent_method: str = ""
    sent_path: str = ""
    origin: str = "http://localhost"
    client_address: str = ""
    place: Place = field(factory=Place, eq=False, repr=False)
    unproven_bytes: int = 0

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
