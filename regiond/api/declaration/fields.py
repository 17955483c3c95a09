"""Fields of a request: parses all of them and reports every problem, by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from attrs import evolve, field, frozen

from common.errors import InvalidRequest
from regiond.api.declaration.field_types import FieldError, FieldType, plain_text
from regiond.requests.validation_messages import REQUIRED

Submitted = Mapping[str, Sequence[object]]  # by key, all its values in order
Values = dict[str, Any]  # parsed, by field
Problems = dict[str, list[str]]  # messages for people, by field
MAX_KEY_LENGTH = 255


class Format(StrEnum):
    """The form of a field's value, from which command lines accept units and ranges."""

    MIB = "mib"  # a number of MiB
    DISKS_GB = "disks_gb"  # a size in GB, or a storage constraint with sizes in GB
    INTEGERS = "integers"  # a key that is repeated for each integer


@frozen
class Field:
    """A parameter of an endpoint: its key, its type, and the sentence that help texts show, in this order.

    An `example` is a value as a request has it; all fields of an endpoint that state one make an example together.

    `recorded`: the audit trail has the text that was accepted: a name, a reference, a size, or a reason that somebody
    gave. Of other texts it has only that they were given; see `audit_record`.
    """

    name: str
    type: FieldType
    doc: str
    required: bool = field(default=False, kw_only=True)
    default: Any = field(default=None, kw_only=True)
    format: Format | None = field(default=None, kw_only=True)
    example: Any = field(default=None, kw_only=True)
    recorded: bool = field(default=False, kw_only=True)


@frozen(kw_only=True)
class ParsedFields:
    """The value of every field. A field with a problem has its default as value."""

    values: Values
    problems: Problems


def parse_fields(fields: Sequence[Field], submitted: Submitted) -> ParsedFields:
    values: Values = {}
    problems: Problems = {}
    for one in fields:
        values[one.name] = one.default
        try:
            values[one.name] = _parse(one, submitted.get(one.name, ()))
        except FieldError as error:
            problems[one.name] = [str(error)]
    return ParsedFields(values=values, problems=problems)


def parse_other_keys(type_: Field | None, fields: Sequence[Field], submitted: Submitted) -> ParsedFields:
    """Parses every key that is not one of `fields` as `type_`. Raises InvalidRequest for an invalid key."""
    if type_ is None:
        return ParsedFields(values={}, problems={})
    known = {one.name for one in fields}
    others = tuple(evolve(type_, name=name) for name in submitted if name not in known)
    for one in others:
        _check_key(one.name)
    return parse_fields(others, submitted)


def _check_key(name: str) -> None:
    try:
        plain_text(name)
    except FieldError as error:
        raise InvalidRequest(f"Bad Request: the key {name[:40]!r} is not valid: {error}") from None
    if not name or len(name) > MAX_KEY_LENGTH:
        raise InvalidRequest(f"Bad Request: keys have 1 to {MAX_KEY_LENGTH} characters.")


def _parse(one: Field, submitted: Sequence[object]) -> Any:
    if all(value is None for value in submitted):
        if one.required:
            raise FieldError(REQUIRED)
        return one.default
    if all(value is None or (isinstance(value, str) and not value.strip()) for value in submitted):
        if one.required:
            raise FieldError(REQUIRED)
        return one.default if one.type.blank is None else one.type.blank
    return one.type.parse(submitted)
