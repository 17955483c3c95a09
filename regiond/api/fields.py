"""The kinds of values that a request can carry, with the rules and the words that MAAS clients know.

A kind gets the values of one key as they came: text from a form or a query, anything from JSON. It gives a checked
value or raises `Refused`. All fields are read before anything is done, so a refused request has changed nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import evolve, frozen

from common.errors import InvalidRequest
from regiond.field_words import REQUIRED, at_least, at_most, no_choice

Submitted = Mapping[str, Sequence[object]]
Values = dict[str, Any]

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}(\.0*)?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})(e[+-]?[0-9]{1,3})?", re.ASCII | re.IGNORECASE)
_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})
_FALSE = frozenset({"false", "0", "no", "off", "f", "n", "none"})
LARGEST = 2**31 - 1
LONGEST_KEY = 255


class JsonArray(tuple[object, ...]):
    """Values of one key that came as one array, not as a repeated key."""


class Refused(Exception):
    """Why a value cannot be taken; becomes one message of its field."""


class Kind(Protocol):
    """`blank` is what an empty value means; None where it means the same as an absent one."""

    @property
    def blank(self) -> Any: ...

    @property
    def schema(self) -> Mapping[str, Any]: ...

    def read(self, given: Sequence[object]) -> Any: ...


@frozen(kw_only=True)
class Field:
    """A parameter of an endpoint: its name on the wire, its kind, and the sentence that help texts show."""

    name: str
    kind: Kind
    doc: str
    required: bool = False
    default: Any = None


def read_fields(fields: Sequence[Field], submitted: Submitted) -> Values:
    """The value of every field, defaults included. Raises InvalidRequest with all that is wrong."""
    values: Values = {}
    wrong: dict[str, list[str]] = {}
    for one in fields:
        try:
            values[one.name] = _value(one, submitted.get(one.name, ()))
        except Refused as refused:
            wrong[one.name] = [str(refused)]
    if wrong:
        raise InvalidRequest.of(wrong)
    return values


def read_rest(kind: Field | None, fields: Sequence[Field], submitted: Submitted) -> Values:
    """The value of every other key. Raises InvalidRequest with all that is wrong."""
    if kind is None:
        return {}
    known = {one.name for one in fields}
    others = tuple(evolve(kind, name=name) for name in submitted if name not in known)
    for one in others:
        _check_name(one.name)
    return read_fields(others, submitted)


def _check_name(name: str) -> None:
    """Raises InvalidRequest for a key that cannot be stored, or is none at all."""
    try:
        plain_text(name)
    except Refused as refused:
        raise InvalidRequest(f"Bad Request: the key {name[:40]!r} is not valid: {refused}") from None
    if not name or len(name) > LONGEST_KEY:
        raise InvalidRequest(f"Bad Request: keys have 1 to {LONGEST_KEY} characters.")


def _value(one: Field, given: Sequence[object]) -> Any:
    if all(value is None for value in given):
        if one.required:
            raise Refused(REQUIRED)
        return one.default
    if all(value is None or (isinstance(value, str) and not value.strip()) for value in given):
        if one.required:
            raise Refused(REQUIRED)
        return one.default if one.kind.blank is None else one.kind.blank
    return one.kind.read(given)


def plain_text(value: object) -> str:
    """`value` as text that can be stored and sent on."""
    if isinstance(value, bool | int | float):
        return str(value)
    if not isinstance(value, str):
        raise Refused("Enter a text.")
    if "\x00" in value:
        raise Refused("Null characters are not allowed.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused("This is not valid Unicode text.") from None
    return value


@frozen(kw_only=True)
class Integer:
    """`2048`, ` 2048 ` or `2048.0`, as Django takes them."""

    least: int = 0
    most: int = LARGEST
    blank: None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def read(self, given: Sequence[object]) -> int:
        value = given[-1]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Refused("Enter a whole number.")
        text = str(value).strip()
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            text = str(int(value))
        if _WHOLE.fullmatch(text) is None:
            raise Refused("Enter a whole number.")
        whole = int(text.partition(".")[0])
        if whole > self.most:
            raise Refused(at_most(self.most))
        if whole < self.least:
            raise Refused(at_least(self.least))
        return whole


@frozen(kw_only=True)
class Float:
    least: float
    most: float
    blank: None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most}

    def read(self, given: Sequence[object]) -> float:
        value = given[-1]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Refused("Enter a number.")
        text = str(value).strip()
        if _DECIMAL.fullmatch(text) is None:
            raise Refused("Enter a number.")
        number = float(text)
        if number > self.most:
            raise Refused(at_most(_short(self.most)))
        if number < self.least:
            raise Refused(at_least(_short(self.least)))
        return number


def _short(limit: float) -> int | float:
    return int(limit) if limit == int(limit) else limit


@frozen(kw_only=True)
class Boolean:
    """Unlike MAAS, `0`, `no` and `off` are false and unknown words are refused: `decompose=0` must not destroy."""

    blank: bool = False

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "boolean"}

    def read(self, given: Sequence[object]) -> bool:
        word = plain_text(given[-1]).strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise Refused("Enter true or false.")


@frozen(kw_only=True)
class Choice:
    choices: tuple[str, ...]
    blank: str | None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "enum": list(self.choices)}

    def read(self, given: Sequence[object]) -> str:
        value = plain_text(given[-1]).strip()
        if value not in self.choices:
            raise Refused(no_choice(value))
        return value


@frozen(kw_only=True)
class Text:
    """Text of at most `longest` characters. `stripped` is off for secrets, where a blank counts."""

    longest: int = 255
    stripped: bool = True
    pattern: str | None = None
    advice: str = "Enter a valid value."
    blank: str | None = ""

    @property
    def schema(self) -> Mapping[str, Any]:
        schema: dict[str, Any] = {"type": "string", "maxLength": self.longest}
        return schema if self.pattern is None else {**schema, "pattern": f"^(?:{self.pattern})$"}

    def read(self, given: Sequence[object]) -> str:
        value = plain_text(given[-1])
        if self.stripped:
            value = value.strip()
        if len(value) > self.longest:
            raise Refused(f"Ensure this value has at most {self.longest} characters (it has {len(value)}).")
        if self.pattern is not None and re.fullmatch(self.pattern, value) is None:
            raise Refused(self.advice)
        return value


@frozen(kw_only=True)
class CommaList:
    """`a, b` in one value. Only the last of repeated keys counts, but a JSON array is the list itself."""

    longest: int = 255
    most: int = 256
    blank: tuple[str, ...] = ()

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "description": "values separated by commas"}

    def read(self, given: Sequence[object]) -> tuple[str, ...]:
        texts = [value for value in given if value is not None] if isinstance(given, JsonArray) else given[-1:]
        parts = [part.strip() for text in texts for part in plain_text(text).split(",")]
        return _bounded(parts, self.longest, self.most)


@frozen(kw_only=True)
class TextList:
    """A key that may be repeated. With `choices`, each value is one of them; `commas` splits each value too."""

    choices: tuple[str, ...] | None = None
    commas: bool = False
    longest: int = 255
    most: int = 1000
    blank: tuple[str, ...] = ()

    @property
    def schema(self) -> Mapping[str, Any]:
        items: dict[str, Any] = {"type": "string", "maxLength": self.longest}
        if self.choices is not None:
            items["enum"] = list(self.choices)
        return {"type": "array", "items": items}

    def read(self, given: Sequence[object]) -> tuple[str, ...]:
        parts = [plain_text(value).strip() for value in given if value is not None]
        if self.commas:
            parts = [part.strip() for text in parts for part in text.split(",")]
        found = _bounded(parts, self.longest, self.most)
        for value in found:
            if self.choices is not None and value not in self.choices:
                raise Refused(no_choice(value))
        return found


@frozen(kw_only=True)
class IntegerList:
    """A key that may be repeated, one whole number in each."""

    least: int = 0
    most: int = LARGEST
    blank: tuple[int, ...] = ()

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "array", "items": Integer(least=self.least, most=self.most).schema}

    def read(self, given: Sequence[object]) -> tuple[int, ...]:
        one = Integer(least=self.least, most=self.most)
        return tuple(one.read((value,)) for value in given if value is not None and value != "")


def _bounded(parts: Sequence[str], longest: int, most: int) -> tuple[str, ...]:
    """Without empty ones and repeats, in the order given."""
    found = tuple(dict.fromkeys(part for part in parts if part))
    if len(found) > most:
        raise Refused(f"Ensure there are at most {most} values (there are {len(found)}).")
    for part in found:
        if len(part) > longest:
            raise Refused(f"Ensure each value has at most {longest} characters (one has {len(part)}).")
    return found
