"""Requests that Schemathesis makes of the OpenAPI description, sent by HTTP as each role, and their checks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import requests
import schemathesis
from attrs import define, field
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode, Response
from schemathesis.checks import CheckContext
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from regiond.accounts.model import ApiKey
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.description.examples import example_of
from regiond.api.description.openapi import openapi
from regiond.api.resources.registry import DOCUMENTED
from tests.integration.support.object_paths import path_to
from tests.integration.support.two_pools import Role, TwoPools
from tests.unit.support.api_double import authorization

AnyCase = Case[Any]
Operation = APIOperation[Any, Any, Any, Any]

ROLES = (Role.STRANGER, Role.VIEWER, Role.OPERATOR, Role.ADMIN)  # the last changes and deletes the most
TIMEOUT_S = 60.0
REFUSED = {401, 403}  # another request of the same kind would be refused too
# They answer 503 when no host has room, as MAAS does, and 504 when an operation takes longer than a request waits.
ON_HOSTS = frozenset({"compose", "allocate", "clone", "resize", "add_disk", "grow_disk", "move_disk", "add_interface"})
DISKS_OF_MACHINE = "/blockdevices/"
MAAS_SERVERS = "/maas-servers/"  # a new one is asked, and does not answer


def described(url: str) -> schemathesis.BaseSchema:
    """The description, without the `default` response, which would permit any status."""
    document = openapi(DOCUMENTED, server=url, version="3.7.3")
    for item in document["paths"].values():
        for name, operation in item.items():
            if name != "parameters":
                del operation["responses"]["default"], operation["security"]  # the calls are signed here
    return schemathesis.openapi.from_dict(document)


def no_server_error(_: CheckContext, response: Response, case: AnyCase) -> None:
    op = case.operation.path.rpartition("/op-")[2]
    on_host = op in ON_HOSTS or case.operation.path.endswith((DISKS_OF_MACHINE, MAAS_SERVERS))
    permitted = {503, 504} if on_host else set()
    assert response.status_code < 500 or response.status_code in permitted, f"{response.status_code}: {response.text}"


CHECKS = [
    no_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip


@define(kw_only=True)
class OpenApiCalls:
    """Up to `examples` of each kind for each endpoint, which `seed` decides; after `budget_s` only one of each kind."""

    pools: TwoPools
    url: str
    keys: Mapping[Role, ApiKey]
    examples: int
    seed: int
    budget_s: float
    problems: dict[str, str] = field(factory=dict)  # the first of each kind
    statuses: Counter[tuple[Role, int]] = field(factory=Counter)
    succeeded: set[str] = field(factory=set)  # the operations that answered a success to anybody
    _session: requests.Session = field(factory=requests.Session)
    _nonce: int = 0

    def run(self) -> None:
        """Blocks; run it in a thread while the region serves in another."""
        ends_at_s = time.monotonic() + self.budget_s
        schema = described(self.url)
        found = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
        operations = {one.definition.raw["operationId"]: one for one in found}
        for resource, endpoint in _in_order():
            operation = operations[f"{resource.handler.removesuffix('Handler')}.{endpoint.name}"]
            for strategy in self._strategies(resource, endpoint, operation):
                self._send_examples(strategy, ends_at_s)

    def _strategies(
        self, resource: Resource, endpoint: Endpoint, operation: Operation
    ) -> Iterator[st.SearchStrategy[AnyCase]]:
        """Yields requests about objects that exist: sensible, valid and invalid ones; and any about others."""
        known = [path_to(resource, one) for one in self.pools.contents.values()]
        sensible = {one.name: example_of(one) for one in endpoint.fields if one.required}
        if "power_address" in sensible:
            sensible |= {"type": "simulated", "power_address": "simulated:s1?cores=4"}  # not a host on some network
        if sensible and endpoint.method in {"POST", "PUT"}:
            yield operation.as_strategy(
                GenerationMode.POSITIVE, path_parameters=dict(known[0]), body=sensible, media_type="application/json"
            )
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            yield st.one_of([operation.as_strategy(mode, path_parameters=dict(path)) for path in known])
        if resource.params:
            yield operation.as_strategy(GenerationMode.POSITIVE)

    def _send_examples(self, strategy: st.SearchStrategy[AnyCase], ends_at_s: float) -> None:
        roles = list(ROLES)

        @seed(self.seed)
        @settings(
            max_examples=self.examples,
            database=None,
            phases=[Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def send(case: AnyCase) -> None:
            for role in tuple(roles):
                if self._send(case, role) in REFUSED or time.monotonic() > ends_at_s:
                    roles.remove(role)

        with suppress(Unsatisfiable):  # an endpoint without fields has no invalid request
            send()

    def _send(self, case: AnyCase, role: Role) -> int:
        headers = {**dict(case.headers or {}), **self._headers(role)}
        try:
            response = case.call(
                base_url=self.url, session=self._session, headers=headers, timeout=TIMEOUT_S, allow_redirects=False
            )
        except requests.RequestException as error:
            self.problems.setdefault(f"{case.operation.label} as {role}", f"{error}\n{case.as_curl_command()}")
            return 0
        self.statuses[role, response.status_code] += 1
        if response.status_code < 300:
            self.succeeded.add(case.operation.label)
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as failures:
            for failure in failures.exceptions:
                name = f"{case.operation.label} as {role}: {failure.title}"
                self.problems.setdefault(name, f"{name}, {response.status_code} (seed {self.seed})\n{failures.message}")
        return response.status_code

    def _headers(self, role: Role) -> dict[str, str]:
        if role not in self.keys:
            return {}
        self._nonce += 1
        return {"Authorization": authorization(self.keys[role], nonce=f"n{self._nonce}", timestamp_s=time.time())}


def _in_order() -> list[tuple[Resource, Endpoint]]:
    """Each endpoint once: reads, then changes, then deletions; at the end the rack's, without which no host answers."""
    found: dict[int, tuple[Resource, Endpoint]] = {}
    for resource in DOCUMENTED:
        for endpoint in resource.endpoints:
            if not endpoint.result.is_stream:  # a valid request for one is answered without an end
                found.setdefault(id(endpoint), (resource, endpoint))  # another path to the same adds nothing

    def rank(one: tuple[Resource, Endpoint]) -> tuple[bool, bool, bool]:
        resource, endpoint = one
        changes = endpoint.method != "GET"
        return changes and resource.path.startswith("racks/"), endpoint.destructive, changes

    return sorted(found.values(), key=rank)
