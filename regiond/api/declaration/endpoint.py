"""Declares endpoints as values, the source of routes, checks, `describe/`, OpenAPI and help."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

from attrs import evolve, field, frozen

from common.release import running_release
from regiond.api.declaration.fields import Field, ParsedFields, Problems, Submitted, Values, parse_fields
from regiond.api.declaration.request_cost import Cost
from regiond.api.declaration.serializer import Schema, Serializer
from regiond.api.replies import Reply
from regiond.api.services import Services
from regiond.api.urls import BASE
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.process.health import Health
from regiond.requests.caller import Caller, Permission

T = TypeVar("T")
Find = Callable[[Services, Mapping[str, str]], Awaitable[Any]]  # the object of a path; raises NotFound

METHODS_WITH_BODY = frozenset({"POST", "PUT"})
_PLAIN_NAMES = {"GET": "read", "POST": "create", "PUT": "update", "DELETE": "delete"}


def _software() -> str:
    return f"innkeeper {running_release()}"


async def _all_well() -> Health:
    return Health()


@frozen(kw_only=True)
class SiteInfo:
    """Facts of the region that the API shows.

    `health` returns the state of the region's parts, and whether it can serve.
    """

    version: str = "3.7.3"  # of the MAAS API; clients parse it, so digits and dots only
    software: str = field(factory=_software)
    simulated_hosts: bool = False
    health: Callable[[], Awaitable[Health]] = _all_well
    rpc_address: Callable[[], str] = str  # the address for RPC clients
    wait_s: float = 120.0  # how long a request waits for its operation


# Gets the JSON of a dry run, read in the transaction that acts, and raises if it is not what a page has shown.
PlanCheck = Callable[[Mapping[str, Any]], None]


@frozen(kw_only=True)
class Call:
    """A request after authentication and parsing. `target` is the result of `Endpoint.find`."""

    services: Services
    info: SiteInfo
    endpoint: Endpoint
    path: Mapping[str, str]
    values: Values
    invalid: frozenset[str] = frozenset()  # fields that did not parse; their values are the defaults
    other_values: Values = field(factory=dict)  # of keys that no field declares
    signed_by: Caller | None
    target: Any = None
    origin: str = ""  # scheme, host and port of the request's URL
    client_address: str = ""
    request_id: str = ""
    authorization: str = field(default="", repr=False)  # the header, for resources without accounts: empty for others
    request_path: str = ""  # as the client sent it
    query: tuple[tuple[str, str], ...] = ()
    respond_async: bool = False
    prefer_wait_s: float | None = None  # how long the client prefers to wait for an operation
    began_s: float = field(factory=time.monotonic)  # on the clock of time.monotonic
    idempotency_key: IdempotencyKey | None = None
    last_event_id: str | None = None
    byte_range: str | None = None  # the header Range
    files: Mapping[str, bytes] = field(factory=dict)
    content: bytes | None = None  # of an endpoint that takes content: None if the body was of another type
    check_plan: PlanCheck | None = None

    @property
    def caller(self) -> Caller:
        if self.signed_by is None:
            raise AssertionError(f"{self.endpoint.name} needs a caller, but is open to anyone")
        return self.signed_by


@frozen(kw_only=True)
class Result(Generic[T]):
    """The body of a successful response; `type` is None for an empty body or plain text.

    Of a stream, `type` is that of the data of each event.
    """

    doc: str
    type: Serializer[T] | None = None
    is_stream: bool = False
    is_data: bool = False  # any bytes, as `media_type`
    media_type: str = "application/octet-stream"

    @property
    def schema(self) -> Schema | None:
        return None if self.type is None else self.type.schema


@frozen(kw_only=True)
class Endpoint:
    """One operation of a resource: a method and, except for plain REST methods, an op.

    `permission` is what the caller needs, in the resource pool of the object if the path has one. `find` reads that
    object before the fields are checked, so that an unknown one answers 404, not 400, and so does one that the caller
    may not see.

    `opens_operation`: ties the idempotency key of the request, if any, to the operation that it opens, in the same
    transaction; a repeat gets that operation. With `outlives_target` also after the object was deleted, perhaps by the
    operation: `Call.target` is None then. `only_reads`: changes nothing, whatever its method.

    `check` returns problems by field that one field's type cannot see; where a
    field did not parse (see `Call.invalid`), it sees the default. If there are problems, `check_names` adds
    those that `run` would find in the database. `run` receives only valid values.

    `expensive`: costs the region or a host much more than others, and has a lower limit of requests per second; or
    which requests do (see `request_cost`).
    `destructive`: deletes, releases, forgets or undoes something (by default every DELETE); rejects unknown fields.
    `audited`: recorded in the audit trail; by default every change. Also what shows a secret.
    `other_answers` are further successful responses with their statuses, such as the plan of a dry run.
    `takes_content`: the body is data (application/octet-stream), and the fields are in the query.
    `accepted` are fields that MAAS documents for this call and Innkeeper ignores; they are never rejected.
    `unknown_field`: the words with which MAAS rejects an unknown field of this call, and so does Innkeeper.
    """

    method: str
    op: str | None = None
    permission: Permission
    fields: tuple[Field, ...] = ()
    other_keys: Field | None = None  # the type of the values of all other keys
    title: str
    doc: str = ""
    result: Result[Any]
    success: int = 200
    other_answers: tuple[tuple[int, Result[Any]], ...] = ()
    find: Find | None = None
    check: Callable[[Call], Problems] | None = None
    check_names: Callable[[Call], Awaitable[Problems]] | None = None
    opens_operation: bool = False
    outlives_target: bool = False
    only_reads: bool = False
    takes_content: bool = False
    expensive: bool | Cost = False
    destructive: bool = field()
    audited: bool = field()
    accepted: frozenset[str] = frozenset()
    unknown_field: str | None = None
    run: Callable[[Call], Awaitable[Reply]]

    # What decides for every request, computed once:
    name: str = field(init=False)
    changes: bool = field(init=False)
    takes_key: bool = field(init=False)  # whether a request may have an idempotency key, which belongs to an account
    has_dry_run: bool = field(init=False)
    waits_for_operation: bool = field(init=False)  # starts an operation: answers 202 to those who do not wait
    answers_a_list: bool = field(init=False)
    reads_one: bool = field(init=False)  # one object, whose answer has an entity tag
    has_fields_in_body: bool = field(init=False)
    rejects_unknown_fields: bool = field(init=False)
    known_fields: frozenset[str] = field(init=False)
    without_fields: ParsedFields = field(init=False)  # of a request that submits none

    @destructive.default
    def _deletes(self) -> bool:
        return self.method == "DELETE"

    @audited.default
    def _is_change(self) -> bool:
        return self.method != "GET"

    @name.default
    def _op_or_plain(self) -> str:
        return self.op or _PLAIN_NAMES[self.method]

    @changes.default
    def _changes(self) -> bool:
        return self.method != "GET" and not self.only_reads

    @takes_key.default
    def _takes_key(self) -> bool:
        return self.changes and self.permission is not Permission.ANYONE

    @has_dry_run.default
    def _has_dry_run(self) -> bool:
        return any(one.name == "dry_run" for one in self.fields)

    @waits_for_operation.default
    def _waits(self) -> bool:
        return any(status == 202 for status, _ in self.other_answers)

    @answers_a_list.default
    def _answers_a_list(self) -> bool:
        return self.result.schema is not None and self.result.schema.get("type") == "array"

    @reads_one.default
    def _reads_one(self) -> bool:
        is_whole = not (self.result.is_stream or self.answers_a_list)
        return self.method == "GET" and self.result.schema is not None and is_whole

    @has_fields_in_body.default
    def _has_fields_in_body(self) -> bool:
        return self.method in METHODS_WITH_BODY and not self.takes_content

    @rejects_unknown_fields.default
    def _rejects_unknown_fields(self) -> bool:
        """Whether an unknown field is an error: where MAAS says so, for what destroys, and for lists."""
        is_strict = self.destructive or self.unknown_field is not None
        return is_strict or (self.method == "GET" and (bool(self.fields) or self.answers_a_list))

    @known_fields.default
    def _known_fields(self) -> frozenset[str]:
        return frozenset(one.name for one in self.fields)

    @without_fields.default
    def _without_fields(self) -> ParsedFields:
        return parse_fields(self.fields, {})

    def is_expensive(self, submitted: Submitted) -> bool:
        return self.expensive(submitted) if callable(self.expensive) else self.expensive

    @property
    def help(self) -> str:
        """Title, text and a `:param` line per field: the maas CLI accepts arguments only for documented fields."""
        parts = [self.title]
        if self.doc:
            parts.append(self.doc)
        lines = [_param(one) for one in self.fields]
        if self.other_keys is not None:
            lines.append(f":param <{self.other_keys.name}>: {self.other_keys.doc}")
        if lines:
            parts.append("\n".join(lines))
        return "\n\n".join(parts) + "\n"


def _param(one: Field) -> str:
    need = "Required" if one.required else "Optional"
    return f":param {one.name}: {need}. {one.doc}"


@frozen(kw_only=True)
class Resource:
    """A path and its endpoints.

    `described=False` leaves it out of `describe/`, so clients have no command for it: another path of a described
    resource, or what no client of the API calls. `always_empty`: a list of objects that only MAAS has; the innkeeper
    command does not offer it.

    Clients derive command names from `handler`. `path` is below `base`; names in braces are parameters, which may
    contain slashes with `takes_slashes`.
    """

    handler: str
    path: str
    base: str = BASE
    doc: str
    described: bool = True
    always_empty: bool = False
    takes_slashes: bool = False
    endpoints: tuple[Endpoint, ...] = field()
    # What decides for every request, computed once:
    full_path: str = field(init=False)
    params: tuple[str, ...] = field(init=False)
    methods: tuple[str, ...] = field(init=False)
    open_to_anyone: bool = field(init=False)
    _by_name: Mapping[tuple[str, str | None], Endpoint] = field(init=False, repr=False, eq=False)

    @endpoints.validator
    def _each_once(self, _: object, endpoints: tuple[Endpoint, ...]) -> None:
        keys = [(one.method, one.op) for one in endpoints]
        if len(set(keys)) != len(keys):
            raise ValueError(f"{self.handler} declares an endpoint twice: {keys}")

    @full_path.default
    def _full_path(self) -> str:
        return self.base + self.path

    @params.default
    def _params(self) -> tuple[str, ...]:
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @methods.default
    def _methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.method for one in self.endpoints))

    @open_to_anyone.default
    def _open_to_anyone(self) -> bool:
        return all(one.permission is Permission.ANYONE for one in self.endpoints)

    @_by_name.default
    def _by_method_and_op(self) -> Mapping[tuple[str, str | None], Endpoint]:
        return {(one.method, one.op): one for one in self.endpoints}

    def is_open(self, method: str, op: str | None) -> bool:
        """Whether this needs no account. A signature is still checked unless that is so of all endpoints."""
        found = self.endpoint(method, op)
        return found is not None and found.permission is Permission.ANYONE

    def endpoint(self, method: str, op: str | None) -> Endpoint | None:
        return self._by_name.get((method, op))

    def also(self, *, handler: str, path: str, described: bool = True, find: Find | None = None) -> Resource:
        """Returns the same resource under another path, optionally with another `find`."""
        endpoints = self.endpoints if find is None else tuple(evolve(one, find=find) for one in self.endpoints)
        return evolve(self, handler=handler, path=path, described=described, endpoints=endpoints)
