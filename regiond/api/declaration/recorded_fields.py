"""The values of a request that the audit trail has: an allow list, from the declarations of the fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.declaration.field_types import Boolean, Choice, Float, Integer, IntegerList, Timestamp
from regiond.api.declaration.fields import Field
from regiond.audit.model import RecordedFields

# A value of these types that was accepted can be no secret.
_FIXED_FORMS = (Boolean, Choice, Float, Integer, IntegerList, Timestamp)


def has_fixed_form(one: Field) -> bool:
    return isinstance(one.type, _FIXED_FORMS)


def is_recorded(one: Field) -> bool:
    """Whether the trail may have an accepted value of the field."""
    return one.recorded or has_fixed_form(one)


def action_of(resource: Resource, name: str) -> str:
    """Returns what the trail calls a request, such as `Machine.power_on`."""
    return f"{resource.handler.removesuffix('Handler')}.{name}"


def recorded_by_action(resources: Iterable[Resource]) -> Mapping[str, RecordedFields]:
    """Returns the fields whose values may be recorded, of each action that is recorded."""
    return {
        action_of(resource, endpoint.name): _recorded(endpoint)
        for resource in resources
        for endpoint in resource.endpoints
        if endpoint.audited
    }


def _recorded(endpoint: Endpoint) -> RecordedFields:
    return RecordedFields(
        texts=frozenset(one.name for one in endpoint.fields if one.recorded),
        fixed=frozenset(one.name for one in endpoint.fields if has_fixed_form(one)),
    )
