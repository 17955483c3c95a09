"""Doubles of the services that record calls and answer with samples, and requests to the API without a network."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar, get_type_hints
from urllib.parse import urlencode

from attrs import field, fields_dict, frozen

from regiond.accounts.model import ApiKey
from regiond.api.declaration.endpoint import Resource, SiteInfo
from regiond.api.pipeline.change_locks import ChangeLocks
from regiond.api.pipeline.dispatch import Api
from regiond.api.pipeline.request import ApiRequest, BodyTurns
from regiond.api.replies import Reply
from regiond.api.resources.registry import SERVED
from regiond.api.services import Services
from regiond.maas.services import MaasServices
from tests.doubles.signatures import check_call, has_method, takes_caller
from tests.unit.answers import ANSWERS
from tests.unit.answers.accounts import ADMIN_KEY
from tests.unit.support.idempotency_double import KeysInMemory

T = TypeVar("T")

NOW_S = 1_800_000_000.0


SERVICES: Mapping[str, type] = {
    name: real
    for name, real in get_type_hints(Services).items()
    if name in {*fields_dict(Services)} - {"caller", "of_extensions"}
} | get_type_hints(MaasServices)


@frozen
class ServiceCall:
    """A recorded call of a service, such as `hosts.create`, with its arguments."""

    name: str
    args: tuple[Any, ...]
    named: Mapping[str, Any]


class Recorder:
    """A double of one service: each method records the call and returns or raises its configured answer.

    It has the methods of `real`, and accepts the arguments that they accept; `caller` is required.
    """

    def __init__(self, service: str, real: type, calls: list[ServiceCall], answers: Mapping[str, Any]) -> None:
        self._service = service
        self._real = real
        self._calls = calls
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not has_method(self._real, name):
            raise AttributeError(f"{self._real.__name__} has no method {name}")

        async def call(*args: Any, **named: Any) -> Any:
            check_call(self._real, name, args, named)
            if takes_caller(self._real, name) and "caller" not in named:
                raise TypeError(f"{self._real.__name__}.{name}: without a caller it would return everything")
            key = f"{self._service}.{name}"
            self._calls.append(ServiceCall(key, args, named))
            answer = self._answers[key]
            if callable(answer):
                answer = answer(*args)
            if inspect.isawaitable(answer):
                answer = await answer
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return call


_LOOKUPS = {
    "audit.begin",
    "audit.end",
    "audit.record",
    "composer.hostname_problems",
    "composer.problems",
    "accounts.authenticate",
    "accounts.authenticate_signed",
    "accounts.named",
    "users.read",
    "hosts.read",
    "maas_servers.read",
    "hosts.compose_target",
    "hosts.of_system_ids",
    "hosts.ids_of",
    "hosts.names",
    "hosts.names_of",
    "hosts.guest",
    "clusters.read",
    "machines.read",
    "kept_disks.read",
    "exports.read",
    "machines.read_query",
    "machines.system_ids",
    "groups.zone",
    "groups.pool",
    "networks.fabric",
    "networks.vlan",
    "networks.subnet",
    "networks.space",
    "networks.range",
    "networks.interfaces",
    "reconciler.read_stored",
    "quotas.read",
    "ssh_keys.count_of",
    "lists.read_filter",
    "dns.domain",
    "dns.name",
    "files.read",
    "tags.read",
    "tags.problems",
    "networks.fabrics",
    "images.read",
    "images.architecture_entries",
}


@frozen(kw_only=True)
class ApiDouble:
    """An API whose services are recorders. Tests may change `answers`."""

    answers: dict[str, Any] = field(factory=lambda: dict(ANSWERS))
    calls: list[ServiceCall] = field(factory=list)
    info: SiteInfo = field(factory=lambda: SiteInfo(simulated_hosts=True))
    nonces: list[int] = field(factory=lambda: [0])
    changes: ChangeLocks = field(factory=ChangeLocks)
    keys: KeysInMemory = field(factory=KeysInMemory)

    def services(self) -> Services:
        recorders: dict[str, Any] = {
            name: Recorder(name, real, self.calls, self.answers) for name, real in SERVICES.items()
        }
        of_maas = MaasServices(**{name: recorders.pop(name) for name in fields_dict(MaasServices)})
        return Services(**{**recorders, "idempotency_keys": self.keys}, of_extensions=(of_maas,))

    def done(self) -> list[ServiceCall]:
        """The recorded calls that are not lookups."""
        return [one for one in self.calls if one.name not in _LOOKUPS]

    def signed(self, key: ApiKey = ADMIN_KEY) -> str:
        self.nonces[0] += 1
        return authorization(key, nonce=f"n{self.nonces[0]}")

    def request(self, method: str, path: str, **sent: Any) -> Reply:
        """The response to what `send` sends."""
        return result_of(self.send(method, path, **sent))

    def json(self, method: str, path: str, **sent: Any) -> Any:
        """The JSON of a successful response."""
        reply = self.request(method, path, **sent)
        assert reply.status == 200, reply
        return json_of(reply)

    def rejected(self, method: str, path: str, **sent: Any) -> dict[str, list[str]]:
        """The problems by field with which a request is rejected before any service changes something."""
        reply = self.request(method, path, **sent)
        assert (reply.status, self.done()) == (400, []), reply
        problems: dict[str, list[str]] = json_of(reply)
        return problems

    def call(self, name: str) -> ServiceCall:
        """The one call of the service method `name`."""
        (call,) = [one for one in self.calls if one.name == name]
        return call

    async def send(
        self,
        method: str,
        path: str,
        *,
        op: str | None = None,
        form: Mapping[str, Any] | None = None,
        document: Any = None,
        key: ApiKey | None = ADMIN_KEY,
        **more: Any,
    ) -> Reply:
        """The response for `path` below the API's base. `form` is sent in the query or the body, `document` as JSON.

        Where the body is data, some are sent.
        """
        resource, parts = resource_at(path)
        endpoint = resource.endpoint(method, op)
        takes_content = endpoint is not None and endpoint.takes_content
        pairs = [("op", op)] if op is not None else []
        content: dict[str, Any] = {}
        if document is not None:
            content = {"body": json.dumps(document).encode(), "content_type": "application/json"}
        elif takes_content:
            content = {"body": b"part", "content_type": "application/octet-stream"}
        elif form is not None and method in {"POST", "PUT"}:
            kind = "application/x-www-form-urlencoded"
            content = {"body": urlencode(form, doseq=True).encode(), "content_type": kind}
        query = urlencode(pairs)
        if form is not None and (method not in {"POST", "PUT"} or takes_content):
            query = urlencode([*pairs, *form.items()], doseq=True)
        given = {"query": query, **content, "authorization": self.signed(key) if key else None, **more}
        api = Api(
            services=self.services(),
            info=self.info,
            now_s=lambda: NOW_S,
            bodies=BodyTurns(pause=_no_pause),
            changes=self.changes,
        )
        return await api.answer(resource, parts, ApiRequest(method=method, **given), "reference-1")


def resource_at(path: str) -> tuple[Resource, dict[str, str]]:
    """The resource served at `path`, and the values of its path parameters."""
    segments = path.split("/")
    for resource in SERVED:
        wanted = resource.path.split("/")
        if len(wanted) == len(segments):
            parts = {name[1:-1]: part for name, part in zip(wanted, segments, strict=True) if name.startswith("{")}
            if all(name.startswith("{") or name == part for name, part in zip(wanted, segments, strict=True)):
                return resource, parts
    raise AssertionError(f"nothing is served at {path}")


def authorization(key: ApiKey, *, nonce: str, timestamp_s: float = NOW_S) -> str:
    return (
        'OAuth oauth_version="1.0", oauth_signature_method="PLAINTEXT", '
        f'oauth_consumer_key="{key.consumer_key}", oauth_token="{key.token_key}", '
        f'oauth_signature="%26{key.token_secret}", oauth_nonce="{nonce}", oauth_timestamp="{int(timestamp_s)}"'
    )


def json_of(reply: Reply) -> Any:
    assert reply.content_type.startswith("application/json"), reply
    return json.loads(reply.body)


async def _no_pause(_: float) -> None:
    """Long bodies are parsed at once."""


def result_of(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends, as with these doubles."""
    try:
        work.send(None)
    except StopIteration as ended:
        found: T = ended.value
        return found
    raise AssertionError("the coroutine waits for something")
