"""A request as a value, before anything is known of it, and which endpoint it asks for."""

from __future__ import annotations

from attrs import frozen

from common.errors import InvalidRequest
from regiond.api.bodies import Body
from regiond.api.endpoint import Endpoint, Resource


@frozen(kw_only=True)
class Incoming:
    """`op_suffix` is NAME of a path that ends in `op-NAME`; `origin` is scheme, host and port the request came to."""

    method: str
    query: str = ""
    body: bytes = b""
    content_type: str | None = None
    authorization: str | None = None
    prefer: str = ""
    idempotency_key: str | None = None
    op_suffix: str | None = None
    origin: str = "http://localhost"

    @property
    def respond_async(self) -> bool:
        """The header may hold several preferences, each with parameters."""
        wishes = (wish.partition(";")[0].strip().lower() for wish in self.prefer.split(","))
        return "respond-async" in wishes


def wanted_endpoint(resource: Resource, incoming: Incoming, query_op: str | None, body: Body) -> Endpoint:
    """The endpoint that method and op name. Raises InvalidRequest, as MAAS words it, when there is none.

    The op is looked for in the query, then in the form, then in the path. An empty one is none, but an empty one in
    the form alone is taken at its word.
    """
    taken_literally = query_op is None and body.op == "" and not incoming.op_suffix
    op = "" if taken_literally else (query_op or body.op or incoming.op_suffix or None)
    found = resource.endpoint(incoming.method, op)
    if found is None:
        raise InvalidRequest(f"Unrecognised signature: method={incoming.method} op={op}")
    return found
