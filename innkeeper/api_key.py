"""Parses API keys in the forms in which the region and this command print them. No I/O."""

from __future__ import annotations

import json
import re

_KEY = re.compile(r"(?<![\w:])[A-Za-z0-9]+:[A-Za-z0-9]+:[A-Za-z0-9]+(?![\w:])", re.ASCII)
_PARTS = ("consumer_key", "token_key", "token_secret")


def parse_key(text: str) -> str | None:
    """The key in `text`; None if it has none, or several.

    `text`: the key, a line that contains it, or the output of `account create-authorisation-token`, JSON or a table.
    """
    text = text.strip()
    parts = _json_parts(text) or _table_parts(text)
    if parts is not None:
        return ":".join(parts)
    found = _KEY.findall(text)
    return str(found[0]) if len(found) == 1 else None


def is_begun(text: str) -> bool:
    """Whether a key of several lines has begun: the rest follows."""
    first = text.strip().partition("\n")[0].lower()
    return parse_key(text) is None and (first.startswith("{") or first.replace(" ", "_").startswith(("name", *_PARTS)))


def _json_parts(text: str) -> list[str] | None:
    try:
        plain = json.loads(text)
        parts = [plain[name] for name in _PARTS]
    except (ValueError, KeyError, TypeError):
        return None
    return parts if all(isinstance(part, str) and part.isascii() and part.isalnum() for part in parts) else None


def _table_parts(text: str) -> list[str] | None:
    parts = [
        re.search(rf"^\W*{name.replace('_', '[ _]')}\W+([A-Za-z0-9]+)\s*$", text, re.MULTILINE | re.IGNORECASE)
        for name in _PARTS
    ]
    return [match[1] for match in parts if match] if all(parts) else None
