"""Builds the OpenAPI 3.1 document; an op becomes the path suffix `op-NAME`, which is also served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.declaration.field_types import IntegerList, TextList
from regiond.api.declaration.fields import Field
from regiond.api.description.examples import request_example
from regiond.api.description.openapi_responses import can_be_conditional, responses
from regiond.api.pipeline.request import CONTENT_TYPE
from regiond.operations.idempotency.model import MAX_KEY_CHARS
from regiond.requests.caller import Permission

_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "respond-async: answer 202 with the operation at once, do not wait for its end. "
    "wait=N: wait N seconds for its end (at most 120), if that is longer than usual.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A text that is new for each change, such as a UUID. Repeats of the request with the key run "
    "nothing and get the first successful answer, or its operation.",
    "schema": {"type": "string", "maxLength": MAX_KEY_CHARS},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "Answer 304 without a body if the answer still has this ETag.",
    "schema": {"type": "string"},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "Answer 412 and change nothing if a read of the object no longer has this ETag.",
    "schema": {"type": "string"},
}


def openapi(resources: Iterable[Resource], *, version: str, server: str = "/") -> dict[str, Any]:
    """Returns the whole document. The default `server` is the one from which the client downloads the document."""
    components: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for resource in resources:
        for endpoint in resource.endpoints:
            item = paths.setdefault(_path(resource, endpoint), _path_item(resource))
            item[endpoint.method.lower()] = _operation(resource, endpoint, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Innkeeper", "description": "The MAAS 2.0 API of VM hosts.", "version": version},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "oauth": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "OAuth 1.0, signature method PLAINTEXT (or HMAC-SHA1 with a key for it), empty "
                    "consumer secret; or Bearer CONSUMER:TOKEN:SECRET.",
                }
            },
        },
    }


def _path(resource: Resource, endpoint: Endpoint) -> str:
    path = resource.full_path
    if endpoint.op is None:
        return path
    return f"{path if path.endswith('/') else path + '/'}op-{endpoint.op}"


def _path_item(resource: Resource) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in resource.params
    ]
    return {"parameters": parameters} if parameters else {}


def _operation(resource: Resource, endpoint: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{resource.handler.removesuffix('Handler')}.{endpoint.name}",
        "tags": [resource.handler.removesuffix("Handler")],
        "summary": endpoint.title,
        "description": endpoint.doc,
        "responses": responses(resource, endpoint, components),
        "security": [] if endpoint.permission is Permission.ANYONE else [{"oauth": []}],
        "x-permission": endpoint.permission.value,
    }
    if endpoint.takes_content:
        data = {CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": data}
        operation["parameters"] = [_query_parameter(one) for one in endpoint.fields]
    elif (endpoint.fields or endpoint.other_keys) and endpoint.method in {"POST", "PUT"}:
        schema = _body_schema(endpoint.fields)
        if endpoint.other_keys is not None:
            schema["additionalProperties"] = _field_schema(endpoint.other_keys)
        types = ("application/x-www-form-urlencoded", "multipart/form-data", "application/json")
        content = {"schema": schema, "example": request_example(endpoint)}
        operation["requestBody"] = {"content": dict.fromkeys(types, content)}
    elif endpoint.fields:
        operation["parameters"] = [_query_parameter(one) for one in endpoint.fields]
    if endpoint.waits_for_operation:
        operation["parameters"] = [*operation.get("parameters", ()), _PREFER]
    if endpoint.takes_key:
        operation["parameters"] = [*operation.get("parameters", ()), _IDEMPOTENCY_KEY]
    if endpoint.reads_one:
        operation["parameters"] = [*operation.get("parameters", ()), _IF_NONE_MATCH]
    if can_be_conditional(resource, endpoint):
        operation["parameters"] = [*operation.get("parameters", ()), _IF_MATCH]
    return operation


def _body_schema(fields: Iterable[Field]) -> dict[str, Any]:
    fields = tuple(fields)
    schema: dict[str, Any] = {"type": "object", "properties": {one.name: _field_schema(one) for one in fields}}
    required = [one.name for one in fields if one.required]
    return {**schema, "required": required} if required else schema


def _field_schema(one: Field) -> dict[str, Any]:
    schema = {**one.type.schema, "description": one.doc}
    named = schema.get("enum")
    if one.default is not None and (named is None or one.default in named):  # an empty text stands for no value
        schema["default"] = list(one.default) if isinstance(one.default, tuple) else one.default
    return schema


def _query_parameter(one: Field) -> dict[str, Any]:
    parameter = {"name": one.name, "in": "query", "required": one.required, "description": one.doc}
    schema = {key: value for key, value in _field_schema(one).items() if key != "description"}
    if isinstance(one.type, TextList | IntegerList):
        parameter["explode"] = True
    return {**parameter, "schema": schema}
