"""Marks what only administrators read in a text: what servers say, and where they are.

A mark stays in the text through every sentence that quotes it, through the database and to the answer. There `revealed`
or `masked` replaces it, by who reads. A text that was never marked is shown to everybody.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

REASON = "Administrators see the reason"
PLACE = "[hidden]"  # instead of an address, a path or a fingerprint
# Unicode reserves these for the inner use of a program: no text that anybody reads has them.
_REASON_BEGINS, _PLACE_BEGINS, _ENDS = "\ufdd0", "\ufdd2", "\ufdd1"
MARKS = _REASON_BEGINS + _PLACE_BEGINS + _ENDS
_NO_MARKS = str.maketrans("", "", MARKS)
# A text that was cut has no end of its mark: then all that follows is hidden.
MARKED = f"([{_REASON_BEGINS}{_PLACE_BEGINS}])[^{_ENDS}]*{_ENDS}?"
_MARKED = re.compile(MARKED)
# The same in the bytes of an answer: in a page or a table, where a cut mark ends with its element or attribute at the
# latest, and in JSON, where each is an escape and the text ends with a quote. `\\.` skips every other escape.
_BEGINS, _BEGINS_ESCAPED = (b"\xef\xb7\x90", b"\xef\xb7\x92"), (rb"\ufdd0", rb"\ufdd2")
_MARKED_BYTES = re.compile(
    rb"(\xef\xb7[\x90\x92])(?:(?:(?!\xef\xb7[\x90-\x92]).)*\xef\xb7\x91|(?:[^<\"\\]|\\.)*)", re.DOTALL
)
_MARKED_ESCAPED = re.compile(rb"(\\ufdd[02])(?:[^\"\\]|\\(?!ufdd1).)*(?:\\ufdd1)?|\\.")
_MARK_ESCAPED = re.compile(rb"\\ufdd[012]|\\.")
_MARK_BYTES = re.compile(rb"\xef\xb7[\x90-\x92]")
_PLACES = re.compile(
    r"(?<=')/[^']+(?=')|(?<=\")/[^\"]+(?=\")"  # a path in quotes, which may have spaces
    r"|[A-Za-z][A-Za-z0-9+.-]*://[^\s'\",;)]*[^\s'\",;).:]"
    r"|(?<![\w/.])/[\w.@+~%-]+(?:/[\w.@+~%:-]*)*(?<![.:])"
    r"|\[[0-9A-Fa-f:.%]+\](?::\d+)?"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d+)?(?![\w.]*\w)"
    r"|\b(?=[\w.-]*[A-Za-z])[\w.-]*\w:\d{3,5}\b"
    r"|SHA256:[A-Za-z0-9+/]{43}|\b[0-9a-f]{64}\b"
    r"|(?<![\w:])[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*"
)
_OF_IPV6 = frozenset("0123456789abcdefABCDEF:.")


def hidden(text: str) -> str:
    """Returns the text, which only administrators read, without the point at its end. Idempotent."""
    return _marked(_REASON_BEGINS, text)


def hidden_place(text: str) -> str:
    """Returns the address, path or fingerprint as `hidden` does; others read that there is one."""
    return _marked(_PLACE_BEGINS, text)


def with_hidden_places(text: str) -> str:
    """Returns the text in which addresses, paths and fingerprints are marked. Idempotent."""
    return _PLACES.sub(_place, revealed(text))


def revealed(text: str) -> str:
    """Returns the text as administrators read it."""
    return text.translate(_NO_MARKS)


def masked(text: str) -> str:
    """Returns the text as everybody may read it."""
    return _MARKED.sub(lambda found: REASON if found[1] == _REASON_BEGINS else PLACE, text).translate(_NO_MARKS)


def has_marks(text: str) -> bool:
    return any(mark in text for mark in MARKS)


def revealed_bytes(data: bytes) -> bytes:
    """Returns the text of an answer, in UTF-8 or JSON, as administrators read it."""
    if b"\xef\xb7" in data:
        data = _MARK_BYTES.sub(b"", data)
    if rb"\ufdd" in data:
        data = _MARK_ESCAPED.sub(lambda found: b"" if found[0].startswith(rb"\ufdd") else found[0], data)
    return data


def masked_bytes(data: bytes) -> bytes:
    """Returns the text of an answer, in UTF-8 or JSON, as everybody may read it."""
    if b"\xef\xb7" in data:
        data = _MARKED_BYTES.sub(_shown, data)
    if rb"\ufdd" in data:
        data = _MARKED_ESCAPED.sub(lambda found: found[0] if found[1] is None else _shown(found), data)
    return revealed_bytes(data)


def _shown(found: re.Match[bytes]) -> bytes:
    return (REASON if found[1] in {_BEGINS[0], _BEGINS_ESCAPED[0]} else PLACE).encode()


def _marked(begins: str, text: str) -> str:
    plain = revealed(text)
    inner = plain.rstrip(". ")
    return f"{begins}{inner}{_ENDS}{plain[len(inner) :]}" if inner else plain


def _place(found: re.Match[str]) -> str:
    text = found[0]
    has_colons = text.count(":") > 1 and set(text) <= _OF_IPV6  # or it is a MAC address, a PCI address or a time
    return text if has_colons and not _is_ipv6(text) else hidden_place(text)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
