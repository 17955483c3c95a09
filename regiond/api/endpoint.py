"""Declarations: every endpoint once, as a value. Routes, checks, `describe/`, OpenAPI and help texts come from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any

from attrs import evolve, field, frozen

from regiond.accounts.model import Caller
from regiond.api.fields import Field, Values
from regiond.api.paths import BASE
from regiond.api.replies import Reply
from regiond.api.services import Services

Find = Callable[[Services, Mapping[str, str]], Awaitable[Any]]  # the object of a path, or NotFound

_PLAIN_NAMES = {"GET": "read", "POST": "create", "PUT": "update", "DELETE": "delete"}


class Permission(StrEnum):
    ANYONE = "anyone"  # no signature is asked for
    USER = "user"
    OWNER = "owner"  # of the machine in the path; administrators too
    ADMIN = "admin"


async def _always_ready() -> str | None:
    return None


@frozen(kw_only=True)
class SiteInfo:
    """What the API has to know of the region it serves.

    `not_ready` gives the reason why the region cannot work now (the database is away, migrations are missing), or None.
    """

    version: str = "3.7.3"  # of the MAAS API we speak: digits and dots only, clients parse it
    software: str = "innkeeper"
    simulated_hosts: bool = False
    not_ready: Callable[[], Awaitable[str | None]] = _always_ready
    rpc_address: Callable[[], str] = str  # where RPC clients connect, as they are told
    wait_s: float = 120.0  # how long a request waits for its operation


@frozen(kw_only=True)
class Call:
    """One request, checked: who asks, for what, with which values. `target` is what `Endpoint.find` found."""

    services: Services
    info: SiteInfo
    endpoint: Endpoint
    path: Mapping[str, str]
    values: Values
    rest: Values = field(factory=dict)
    signed_by: Caller | None
    target: Any = None
    origin: str = ""  # scheme, host and port that the request came to
    respond_async: bool = False
    idempotency_key: str | None = None

    @property
    def caller(self) -> Caller:
        if self.signed_by is None:
            raise AssertionError(f"{self.endpoint.name} asks who calls, but lets anyone in")
        return self.signed_by


@frozen(kw_only=True)
class Result:
    """What a success carries: a sentence, and a JSON schema (None: no body or plain text)."""

    doc: str
    schema: Mapping[str, Any] | None = None


@frozen(kw_only=True)
class Endpoint:
    """One thing that can be asked of a resource.

    `find` looks up the object of the path before the fields are read, so that an unknown one is 404 and not 400; with
    `outlives_target`, a request with an idempotency key is answered although the object is gone: it may be a repeat of
    the one that ended it. `run` is called with values that passed; it does one thing.
    """

    method: str
    op: str | None = None
    permission: Permission
    fields: tuple[Field, ...] = ()
    rest: Field | None = None  # any other key has a value of this kind
    title: str
    doc: str = ""
    result: Result
    success: int = 200
    find: Find | None = None
    outlives_target: bool = False
    run: Callable[[Call], Awaitable[Reply]]

    @property
    def name(self) -> str:
        return self.op or _PLAIN_NAMES[self.method]

    @property
    def help(self) -> str:
        """Title, text, then a `:param` line for each field: the maas CLI takes arguments only where it sees one."""
        parts = [self.title]
        if self.doc:
            parts.append(self.doc)
        lines = [_param(one) for one in self.fields]
        if self.rest is not None:
            lines.append(f":param <{self.rest.name}>: {self.rest.doc}")
        if lines:
            parts.append("\n".join(lines))
        return "\n\n".join(parts) + "\n"


def _param(one: Field) -> str:
    need = "Required" if one.required else "Optional"
    return f":param {one.name}: {need}. {one.doc}"


@frozen(kw_only=True)
class Resource:
    """A path and what can be asked there. `described` is off for what has no command of the CLI.

    `handler` is part of the contract: command names are made from it. `path` is below `base`; names in braces are its
    parameters, which hold slashes too with `takes_slashes`.
    """

    handler: str
    path: str
    base: str = BASE
    doc: str
    described: bool = True
    takes_slashes: bool = False
    endpoints: tuple[Endpoint, ...] = field()

    @endpoints.validator
    def _each_once(self, _: object, endpoints: tuple[Endpoint, ...]) -> None:
        keys = [(one.method, one.op) for one in endpoints]
        if len(set(keys)) != len(keys):
            raise ValueError(f"{self.handler} declares an endpoint twice: {keys}")

    @property
    def full_path(self) -> str:
        return self.base + self.path

    @property
    def params(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.method for one in self.endpoints))

    @property
    def open_to_anyone(self) -> bool:
        return all(one.permission is Permission.ANYONE for one in self.endpoints)

    def endpoint(self, method: str, op: str | None) -> Endpoint | None:
        return next((one for one in self.endpoints if (one.method, one.op) == (method, op)), None)

    def also(self, *, handler: str, path: str, described: bool = True, find: Find | None = None) -> Resource:
        """The same under another name, and with `find` looked up by what that path says."""
        endpoints = self.endpoints if find is None else tuple(evolve(one, find=find) for one in self.endpoints)
        return evolve(self, handler=handler, path=path, described=described, endpoints=endpoints)
