"""Builds `describe/`, from which the maas CLI, libmaas and the innkeeper command make commands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.requests.caller import Permission


def describe(resources: Iterable[Resource], *, origin: str) -> dict[str, Any]:
    """Returns the description. `origin`, the scheme, host and port of the request, makes its `uri`s absolute."""
    found = [resource for resource in resources if resource.described]
    entries = [_resource(resource, origin) for resource in found]
    return {
        "doc": "MAAS API",
        "hash": description_hash(found),
        "resources": entries,
        "handlers": [entry["anon"] or entry["auth"] for entry in entries],
    }


def description_hash(resources: Iterable[Resource]) -> str:
    """Returns the SHA-1 (hex) of the description without its origin. CLIs compare it; nothing trusts it."""
    entries = [_resource(resource, "") for resource in resources if resource.described]
    canonical = json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha1(canonical, usedforsecurity=False).hexdigest()


def _resource(resource: Resource, origin: str) -> dict[str, Any]:
    handler = _handler(resource, origin)
    open_to_anyone = resource.open_to_anyone
    return {
        "name": resource.handler,
        "anon": handler if open_to_anyone else None,
        "auth": None if open_to_anyone else handler,
    }


_NEEDS = {
    Permission.OPERATOR: "For operators of the resource pool.",
    Permission.OWNER: "For its owner, as an operator of its resource pool.",
    Permission.ADMIN: "For administrators only.",
}


def _handler(resource: Resource, origin: str) -> dict[str, Any]:
    prefix = "Anon" if resource.open_to_anyone else ""
    return {
        "name": f"{prefix}{resource.handler}",
        "doc": resource.doc,
        "path": resource.full_path,
        "params": list(resource.params),
        "uri": origin + resource.full_path,
        "always_empty": resource.always_empty,
        "actions": [_action(endpoint) for endpoint in resource.endpoints],
    }


def _action(endpoint: Endpoint) -> dict[str, Any]:
    doc = endpoint.help
    if endpoint.permission in _NEEDS:
        doc = f"{doc}\n{_NEEDS[endpoint.permission]}\n"
    return {
        "name": endpoint.name,
        "method": endpoint.method,
        "op": endpoint.op,
        "restful": endpoint.op is None,
        "doc": doc,
        "destructive": endpoint.destructive,
        "dry_run": endpoint.has_dry_run,
        "takes_key": endpoint.takes_key,
        "stream": endpoint.result.is_stream,
        "formats": {one.name: one.format.value for one in endpoint.fields if one.format is not None},
        "choices": {one.name: choices for one in endpoint.fields if (choices := _choices(one.type.schema))},
    }


def _choices(schema: Mapping[str, Any]) -> list[str]:
    """Returns the only values that a field, or each item of a list, accepts; empty if it accepts any."""
    if schema.get("type") == "boolean":
        return ["true", "false"]
    return [str(value) for value in schema.get("items", schema).get("enum", ())]
