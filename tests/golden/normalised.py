"""Replaces what differs from one run to the next: ids, times, hashes, ports, names with a number."""

from __future__ import annotations

import re

_REPLACED = (
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
    (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
    (r"\b[0-9a-f]{64}\b", "<sha256>"),
    (r"\b[0-9a-f]{32}\b", "<hex>"),
    (r"\bik[0-9a-f]{12}\b", "ik<hex>"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z)?", "<time>"),
    (r"(127\.0\.0\.1|localhost):\d+", r"\1:<port>"),
)
_PATTERNS = tuple((re.compile(pattern), text) for pattern, text in _REPLACED)


def normalised(text: str) -> str:
    """Returns the text with such as `<uuid>` in the place of what is new in each run."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
