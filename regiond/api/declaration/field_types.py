"""Field types: each checks the submitted values of one key and converts them to a Python value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from attrs import frozen

from regiond.requests.validation_messages import no_choice, no_number, outside, shown

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}(\.0*)?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})(e[+-]?[0-9]{1,3})?", re.ASCII | re.IGNORECASE)
_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})
_FALSE = frozenset({"false", "0", "no", "off", "f", "n", "none"})
LARGEST = 2**31 - 1


class JsonArray(tuple[object, ...]):
    """The values of a key that came as one JSON array, not as a repeated key."""


class FieldError(Exception):
    """The reason why a value is invalid; becomes the message of its field."""


class FieldType(Protocol):
    """The type of a field.

    `parse` receives the values of one key as submitted: text from a form or a query, anything from JSON. It returns
    the checked value or raises FieldError. `blank` is the value of an empty text; if None, empty counts as absent.
    """

    @property
    def blank(self) -> Any: ...

    @property
    def schema(self) -> Mapping[str, Any]: ...

    def parse(self, submitted: Sequence[object]) -> Any: ...


def plain_text(value: object) -> str:
    """Returns `value` as text that can be stored and sent. Raises FieldError."""
    if isinstance(value, bool | int | float):
        return str(value)
    if not isinstance(value, str):
        raise FieldError("Enter a text.")
    if "\x00" in value:
        raise FieldError("Null characters are not allowed.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FieldError("This is not valid Unicode text.") from None
    return value


@frozen(kw_only=True)
class Integer:
    """A whole number: `2048`, ` 2048 ` or `2048.0`, as Django accepts them. Messages name the `unit`, such as `MiB`."""

    minimum: int = 0
    maximum: int = LARGEST
    unit: str = ""
    blank: None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}

    def parse(self, submitted: Sequence[object]) -> int:
        value = submitted[-1]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise FieldError(no_number("whole number", value, self.minimum, self.maximum))
        text = str(value).strip()
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            text = str(int(value))
        if _WHOLE.fullmatch(text) is None:
            raise FieldError(no_number("whole number", text, self.minimum, self.maximum))
        whole = int(text.partition(".")[0])
        if not self.minimum <= whole <= self.maximum:
            raise FieldError(outside(whole, self.minimum, self.maximum, self.unit))
        return whole


@frozen(kw_only=True)
class Float:
    """A number within the bounds."""

    minimum: float
    maximum: float
    blank: None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "number", "minimum": self.minimum, "maximum": self.maximum}

    def parse(self, submitted: Sequence[object]) -> float:
        value = submitted[-1]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise FieldError(no_number("number", value, self.minimum, self.maximum))
        text = str(value).strip()
        if _DECIMAL.fullmatch(text) is None:
            raise FieldError(no_number("number", text, self.minimum, self.maximum))
        number = float(text)
        if not self.minimum <= number <= self.maximum:
            raise FieldError(outside(number, self.minimum, self.maximum))
        return number


@frozen(kw_only=True)
class Boolean:
    """Unlike in MAAS, `0`, `no` and `off` are false and other words are rejected: `decompose=0` must delete nothing."""

    blank: bool = False

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "boolean"}

    def parse(self, submitted: Sequence[object]) -> bool:
        word = plain_text(submitted[-1]).strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise FieldError(f"Enter true or false, not {shown(word)}.")


@frozen(kw_only=True)
class Choice:
    """One of the given values; with `any_case`, also in other letter case."""

    choices: tuple[str, ...]
    any_case: bool = False
    blank: str | None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "enum": list(self.choices)}

    def parse(self, submitted: Sequence[object]) -> str:
        value = plain_text(submitted[-1]).strip()
        if self.any_case:
            value = next((one for one in self.choices if one.lower() == value.lower()), value)
        if value not in self.choices:
            raise FieldError(no_choice(value, self.choices))
        return value


@frozen(kw_only=True)
class Text:
    """Text of at most `max_length` characters. `strip=False` preserves leading and trailing blanks, as secrets need.

    Of a repeated key only the last counts, or with `joined_by` all, as one text.
    """

    max_length: int = 255
    strip: bool = True
    pattern: str | None = None
    message: str = "Enter a valid value."
    blank: str | None = ""
    joined_by: str | None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        schema: dict[str, Any] = {"type": "string", "maxLength": self.max_length}
        return schema if self.pattern is None else {**schema, "pattern": f"^(?:{self.pattern})$"}

    def parse(self, submitted: Sequence[object]) -> str:
        value = plain_text(submitted[-1]) if self.joined_by is None else self._joined(submitted, self.joined_by)
        if self.strip:
            value = value.strip()
        if len(value) > self.max_length:
            raise FieldError(f"Use at most {self.max_length} characters; this has {len(value)}.")
        if self.pattern is not None and re.fullmatch(self.pattern, value) is None:
            raise FieldError(self.message)
        return value

    def _joined(self, submitted: Sequence[object], separator: str) -> str:
        texts = [plain_text(value) for value in submitted if value is not None]
        return separator.join(text for text in texts if text.strip())


@frozen(kw_only=True)
class Secret(Text):
    """A password, key or token: neither logs nor the audit trail have its value."""

    strip: bool = False


@frozen(kw_only=True)
class File:
    """A part of a multipart form that has a file name, which is in `Call.files`: as a value it is rejected."""

    blank: str = ""

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "format": "binary"}

    def parse(self, submitted: Sequence[object]) -> str:
        if submitted[-1] is None or submitted[-1] == "":
            return ""
        raise FieldError("Send the file as a part of a multipart form that has a file name.")


@frozen(kw_only=True)
class FileOrText(Secret):
    """As `File`, but the content may also be sent as text."""

    blank: str | None = ""

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string"}


@frozen(kw_only=True)
class Timestamp:
    """A time as ISO 8601; without an offset it is UTC."""

    blank: None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "format": "date-time"}

    def parse(self, submitted: Sequence[object]) -> datetime:
        text = plain_text(submitted[-1]).strip()
        try:
            found = datetime.fromisoformat(text)
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            raise FieldError(f"{text[:40]!r} is not a time such as 2026-11-21T08:00Z.") from None


@frozen(kw_only=True)
class CommaList:
    """Values separated by commas. Of a repeated key only the last counts; a JSON array is the whole list."""

    max_length: int = 255
    max_items: int = 256
    blank: tuple[str, ...] = ()

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "description": "values separated by commas"}

    def parse(self, submitted: Sequence[object]) -> tuple[str, ...]:
        texts = (
            [value for value in submitted if value is not None] if isinstance(submitted, JsonArray) else submitted[-1:]
        )
        parts = [part.strip() for text in texts for part in plain_text(text).split(",")]
        return _bounded(parts, self.max_length, self.max_items)


@frozen(kw_only=True)
class TextList:
    """A key that may be repeated. `choices` are the permitted values; `commas` also splits each value at commas."""

    choices: tuple[str, ...] | None = None
    commas: bool = False
    max_length: int = 255
    max_items: int = 1000
    blank: tuple[str, ...] = ()

    @property
    def schema(self) -> Mapping[str, Any]:
        items: dict[str, Any] = {"type": "string", "maxLength": self.max_length}
        if self.choices is not None:
            items["enum"] = list(self.choices)
        return {"type": "array", "items": items}

    def parse(self, submitted: Sequence[object]) -> tuple[str, ...]:
        parts = [plain_text(value).strip() for value in submitted if value is not None]
        if self.commas:
            parts = [part.strip() for text in parts for part in text.split(",")]
        found = _bounded(parts, self.max_length, self.max_items)
        for value in found:
            if self.choices is not None and value not in self.choices:
                raise FieldError(no_choice(value, self.choices))
        return found


@frozen(kw_only=True)
class IntegerList:
    """A key that may be repeated, with one whole number each time."""

    minimum: int = 0
    maximum: int = LARGEST
    blank: tuple[int, ...] = ()

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "array", "items": Integer(minimum=self.minimum, maximum=self.maximum).schema}

    def parse(self, submitted: Sequence[object]) -> tuple[int, ...]:
        one = Integer(minimum=self.minimum, maximum=self.maximum)
        return tuple(one.parse((value,)) for value in submitted if value is not None and value != "")


def _bounded(parts: Sequence[str], max_length: int, max_items: int) -> tuple[str, ...]:
    """Removes empty and repeated values; preserves the order."""
    found = tuple(dict.fromkeys(part for part in parts if part))
    if len(found) > max_items:
        raise FieldError(f"Give at most {max_items} values; there are {len(found)}.")
    for part in found:
        if len(part) > max_length:
            raise FieldError(f"Use at most {max_length} characters in each value; one has {len(part)}.")
    return found
