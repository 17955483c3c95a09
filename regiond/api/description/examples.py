"""Examples of requests, from the declarations of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiond.api.declaration.endpoint import Endpoint
from regiond.api.declaration.fields import Field


def request_example(endpoint: Endpoint) -> Mapping[str, Any]:
    """Returns values by field: of required fields and those with an example; else of the first with few values."""
    found = {one.name: example_of(one) for one in endpoint.fields if one.required or one.example is not None}
    if endpoint.other_keys is not None:
        found[endpoint.other_keys.name] = example_of(endpoint.other_keys)
    if not found:
        derived = {one.name: value for one in endpoint.fields if (value := example_of(one)) is not None}
        found = dict(list(derived.items())[:1])
    return found


def example_of(one: Field) -> Any:
    """Returns the example that the field states, or one of its few values; None if it has neither."""
    if one.example is not None:
        return one.example
    schema = one.type.schema
    return True if schema.get("type") == "boolean" else next(iter(schema.get("enum", ())), None)
