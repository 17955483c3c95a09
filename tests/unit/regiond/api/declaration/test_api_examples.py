"""Examples of requests: every endpoint with a body has one, and the endpoint accepts it."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.declaration.field_types import File
from regiond.api.declaration.fields import Field
from regiond.api.description.examples import example_of, request_example
from regiond.api.description.openapi import openapi
from regiond.api.resources.registry import DOCUMENTED, SERVED
from tests.unit.answers.shared import named
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.good_requests import name_of, path_of
from tests.unit.support.machine_samples import MACHINE

FIELDS = [
    pytest.param(one, id=f"{name_of(resource, endpoint)}-{one.name}")
    for resource in SERVED
    for endpoint in resource.endpoints
    for one in endpoint.fields
    if one.example is not None or one.required
]
WITH_BODY = [
    (resource, endpoint)
    for resource in SERVED
    for endpoint in resource.endpoints
    if endpoint.method in {"POST", "PUT"} and (endpoint.fields or endpoint.other_keys) and not endpoint.takes_content
]
each_with_body = pytest.mark.parametrize(("resource", "endpoint"), WITH_BODY, ids=[name_of(*one) for one in WITH_BODY])


@pytest.mark.parametrize("one", FIELDS)
def test_every_required_field_has_an_example_and_every_example_parses(one: Field) -> None:
    example = example_of(one)
    assert example is not None
    if not isinstance(one.type, File):
        one.type.parse(example if isinstance(example, tuple) else (example,))


@each_with_body
@pytest.mark.parametrize("form", ["document", "form"])
def test_an_endpoint_accepts_its_example(resource: Resource, endpoint: Endpoint, form: str) -> None:
    example = request_example(endpoint)
    assert example
    sent: dict[str, Any] = {form: dict(example)}
    api = ApiDouble()
    two_disks = (*MACHINE.disks, evolve(MACHINE.disks[0], id=32, index=1))
    two_nics = (*MACHINE.nics, evolve(MACHINE.nics[0], id=42, index=1, name="eth1"))
    machine = evolve(MACHINE, disks=two_disks, nics=two_nics)
    api.answers["machines.read"] = named({MACHINE.system_id: machine})
    reply = api.request(endpoint.method, path_of(resource, endpoint), op=endpoint.op, query=query(endpoint), **sent)
    statuses = {endpoint.success, *(status for status, _ in endpoint.other_answers)}
    assert reply.status in statuses, reply.body
    assert "Warning" not in reply.headers


def query(endpoint: Endpoint) -> str:
    return "" if endpoint.op is None else f"op={endpoint.op}"


def test_the_document_shows_the_examples() -> None:
    document = openapi(DOCUMENTED, version="3.7.3")
    shown = 0
    for item in document["paths"].values():
        for method in {"post", "put"} & set(item):
            for kind, content in item[method].get("requestBody", {"content": {}})["content"].items():
                assert ("example" in content) == (kind != "application/octet-stream")
                shown += 1
    assert shown > 200
    compose = document["paths"]["/MAAS/api/2.0/vm-hosts/{id}/op-compose"]["post"]["requestBody"]["content"]
    assert compose["application/json"]["example"] == {
        "cores": 2, "memory": 4096, "storage": "8,20", "hostname": "quick-newt",
    }  # fmt: skip
