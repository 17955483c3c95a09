"""Keys and values of an object in a form, as its owner data: a field for each key, and a new key. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InvalidRequest
from regiond.ui.forms.form_field import FormField
from regiond.ui.texts import text
from regiond.ui.web_request import WebRequest


def _field(key: str) -> str:
    """The name of a field for any key."""
    return f"value-{key.encode().hex()}"


def data_fields(data: Mapping[str, str]) -> list[FormField]:
    return [FormField(name=_field(key), label=key, kind="area", optional=True) for key in sorted(data)]


def data_values(data: Mapping[str, str]) -> dict[str, str]:
    return {_field(key): value for key, value in data.items()}


def new_key(request: WebRequest) -> dict[str, str]:
    """Returns what was typed for a new key."""
    return {name: request.given(f"new-{name}") for name in ("key", "value")}


def changed_data(data: Mapping[str, str], changes: Mapping[str, str], request: WebRequest) -> dict[str, str]:
    """Returns the keys that the form changes; an empty value removes its key. Raises InvalidRequest."""
    new = new_key(request)
    key, value = new["key"].strip(), new["value"]
    if value and not key:
        raise InvalidRequest.of({"new-key": [text("Name the value.")]})
    changed = {key: changes[_field(key)] for key in data if _field(key) in changes}
    return changed | ({key: value} if key else {})
