"""What MAAS has and Innkeeper does not: lists are empty, changes say what to use instead."""

from __future__ import annotations

import pytest

from regiond.api.declaration.endpoint import Resource
from regiond.api.declaration.not_part import OF_EMPTY_LISTS, OF_HANDLERS
from regiond.api.resources.empty_lists import RESOURCES
from regiond.api.resources.registry import SERVED
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.good_requests import path_of

BY_HANDLER = {resource.handler: resource for resource in SERVED}
MISSING = [(handler, op) for handler, ops in OF_HANDLERS.items() for op in ops]
METHODS = {"POST", "PUT", "DELETE"}


@pytest.mark.parametrize("resource", RESOURCES, ids=[one.handler for one in RESOURCES])
def test_lists_are_empty_and_changes_are_rejected(resource: Resource) -> None:
    api, path = ApiDouble(), path_of(resource)
    assert api.json("GET", path) == []
    for method in METHODS:
        reply = api.request(method, path, form={"name": "x"})
        assert (reply.status, reply.content_type.partition(";")[0]) == (400, "text/plain")
        assert reply.body.decode() == f"not part of Innkeeper: {OF_EMPTY_LISTS[resource.handler]}."
    assert api.done() == []


@pytest.mark.parametrize(
    ("path", "form"),
    [("nodes/wdpx3n/devices/", {"hardware_type": "gpu"}), ("ipaddresses/", {"ip": "10.1.0.9", "all": "true"})],
)
def test_lists_accept_the_filters_that_maas_has(path: str, form: dict[str, str]) -> None:
    assert ApiDouble().json("GET", path, form=form) == []


@pytest.mark.parametrize(("handler", "op"), MISSING, ids=[f"{handler}-{op}" for handler, op in MISSING])
def test_missing_calls_of_known_objects_say_what_to_use(handler: str, op: str) -> None:
    resource = BY_HANDLER[handler]
    assert all(op not in {one.op, one.method if one.op is None else None} for one in resource.endpoints)
    plain = op in METHODS
    reply = ApiDouble().request(op if plain else "POST", path_of(resource), op=None if plain else op)
    assert reply.status == 400
    assert reply.body.decode() == f"not part of Innkeeper: {OF_HANDLERS[handler][op]}."


def test_every_empty_list_has_a_reason() -> None:
    assert {one.handler for one in RESOURCES} == set(OF_EMPTY_LISTS)


def test_callers_without_a_key_learn_nothing() -> None:
    assert ApiDouble().request("POST", "dhcp-snippets/", key=None).status == 401


def test_clients_know_them_and_openapi_does_not() -> None:
    description, document = (ApiDouble().json("GET", path, key=None) for path in ("describe/", "openapi.json"))
    marked = {one["name"] for one in description["resources"] if (one["anon"] or one["auth"])["always_empty"]}
    assert marked == set(OF_EMPTY_LISTS)
    assert "/MAAS/api/2.0/static-routes/" not in document["paths"]
