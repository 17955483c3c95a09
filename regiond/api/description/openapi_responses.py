"""Responses in the OpenAPI document: every status that an operation can answer, with its body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from regiond.api.declaration.endpoint import Endpoint, Resource, Result
from regiond.api.pipeline.change_locks import read_of
from regiond.requests.caller import Permission

_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_FIELD_ERRORS = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_ETAG = {
    "ETag": {
        "description": "A strong hash of the answer, for If-None-Match and If-Match.",
        "schema": {"type": "string"},
    }
}
_REPLAYED = {
    "Idempotency-Replayed": {
        "description": "true: the request ran before, by its idempotency key; now nothing was done.",
        "schema": {"type": "string"},
    }
}
_PAGES = {
    "X-Total-Count": {"description": "The number of objects on all pages.", "schema": {"type": "integer"}},
    "Link": {
        "description": "With limit, where another page follows: its URL, with rel=next.",
        "schema": {"type": "string"},
        "example": '</MAAS/api/2.0/zones/?limit=2&after=2>; rel="next"',
    },
}
_WITH_BODY = frozenset({"POST", "PUT"})


def responses(resource: Resource, endpoint: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    """Returns the responses by status; titled schemas are added to `components`."""
    found = {status: _success(status, results, components) for status, results in _successes(endpoint).items()}
    found |= {status: {"description": text, "content": _TEXT} for status, text in _errors(resource, endpoint)}
    found[str(endpoint.success)] |= _headers_of(endpoint)
    if endpoint.takes_key:
        for status in _successes(endpoint):
            found[status]["headers"] = {**found[status].get("headers", {}), **_REPLAYED}
        found["409"]["headers"] = _RETRY_AFTER
    found["400"]["content"] = {"application/json": {"schema": _FIELD_ERRORS}, **_TEXT}
    found["429"]["headers"] = _RETRY_AFTER
    found["503"]["headers"] = _RETRY_AFTER
    found["default"] = {"description": "An error message.", "content": _TEXT}
    return found


def _headers_of(endpoint: Endpoint) -> dict[str, Any]:
    """Returns the headers that a successful response of this endpoint has besides the general ones."""
    if endpoint.reads_one:
        return {"headers": _ETAG}
    if endpoint.answers_a_list and any(one.name == "limit" for one in endpoint.fields):
        return {"headers": _PAGES}
    return {}


def _successes(endpoint: Endpoint) -> dict[str, list[Result[Any]]]:
    answers: dict[str, list[Result[Any]]] = {str(endpoint.success): [endpoint.result]}
    for status, result in endpoint.other_answers:
        answers.setdefault(str(status), []).append(result)
    return answers


def _success(status: str, results: list[Result[Any]], components: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"description": " ".join(result.doc for result in results)}
    if results[0].is_stream:
        return {**found, "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    if results[0].is_data:
        return {**found, "content": {results[0].media_type: {"schema": {"type": "string", "format": "binary"}}}}
    schemas = [_with_references(result.schema, components) for result in results if result.schema is not None]
    if schemas:
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        found["content"] = {"application/json": {"schema": schema}}
    elif status != "204":
        found["content"] = _TEXT
    return found


def _errors(resource: Resource, endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """Yields the errors that the API answers by its rules, as codes and texts; only a bug answers 500."""
    yield "400", "Invalid fields, with their problems; or why the request cannot be read."
    changes = endpoint.method != "GET"
    checks_caller = changes or endpoint.permission is not Permission.ANYONE
    if checks_caller:
        yield "401", "No valid signature, or a wrong password."
        yield "403", "Not allowed, or beyond a quota."
    if endpoint.find is not None or resource.params or changes:
        yield "404", "The object, or one that a field names, does not exist, or the caller may not see it."
    if changes or endpoint.find is not None:
        yield "409", "The state of the object, or another change of it, does not permit this."
    if endpoint.method in _WITH_BODY:
        yield "413", "The body is too large."
    if endpoint.reads_one:
        yield "304", "The client has this answer already, by the tag in If-None-Match."
    if can_be_conditional(resource, endpoint):
        yield "412", "The object is not as it was when the client read it, by the tag in If-Match."
    yield "414", "The URL is too long."
    if endpoint.takes_key:
        yield "422", "The idempotency key was used with another request."
    yield "429", "Too many requests, or too many failed logins. The text names the limit."
    yield (
        "503",
        "Not now: no host has room, or the host, its rack or the database does not answer. The text says which.",
    )
    if checks_caller:
        yield "504", "Not in time. Where an operation continues, Location names it."


def can_be_conditional(resource: Resource, endpoint: Endpoint) -> bool:
    """Returns whether the request can have If-Match: it changes an object that can be read at the same path."""
    return endpoint.method != "GET" and read_of(resource) is not None


def _with_references(schema: Any, components: dict[str, Any]) -> Any:
    """Returns `schema` with each titled object replaced by a reference into `components`."""
    if isinstance(schema, Mapping):
        found = {key: _with_references(value, components) for key, value in schema.items()}
        if found.get("additionalProperties") is False:
            del found["additionalProperties"]  # later releases add keys
        title = found.get("title")
        if isinstance(title, str) and found.get("type") == "object":
            if components.setdefault(title, found) != found:
                raise ValueError(f"two schemas of the API have the title {title}")
            return {"$ref": f"#/components/schemas/{title}"}
        return found
    if isinstance(schema, list | tuple):
        return [_with_references(value, components) for value in schema]
    return schema
