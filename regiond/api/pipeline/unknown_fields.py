"""Fields that an endpoint does not know: rejected by some calls, else named in a warning.

A misspelt field of a deletion, filter of a list or constraint of allocate would have an effect that the caller did not
want. Other calls ignore unknown fields, as MAAS does: its clients send some that Innkeeper does not have.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from attrs import frozen

from regiond.api.declaration.endpoint import Endpoint
from regiond.api.declaration.fields import Problems
from regiond.api.replies import Reply, with_warnings

_OF_THE_TRANSPORT = frozenset({"op", "format", "csrfmiddlewaretoken"})
_MAX_NAMED = 10  # the caller chooses names and their number
_MAX_NAME = 60
_MIN_SIMILARITY = 0.7


@frozen(kw_only=True)
class UnknownFields:
    """`problems` are of fields that the endpoint rejects; `ignored` are names that it ignores."""

    problems: Problems
    ignored: tuple[str, ...]


NONE_UNKNOWN = UnknownFields(problems={}, ignored=())


def unknown_fields(endpoint: Endpoint, submitted: Iterable[str], in_query: Iterable[str]) -> UnknownFields:
    """Checks the names in `submitted`, and those `in_query` of a request whose fields belong into its body."""
    known = _known(endpoint)
    unknown = () if endpoint.other_keys is not None else tuple(name for name in submitted if name not in known)
    unread = tuple(name for name in in_query if name not in _OF_THE_TRANSPORT)
    names = tuple(dict.fromkeys((*unknown, *unread)))
    if not endpoint.rejects_unknown_fields:
        return UnknownFields(problems={}, ignored=names)
    rejected = tuple(name for name in names if name not in endpoint.accepted)
    return UnknownFields(
        problems=_problems(endpoint, rejected), ignored=tuple(name for name in names if name in endpoint.accepted)
    )


def with_warning(reply: Reply, endpoint: Endpoint, ignored: tuple[str, ...]) -> Reply:
    """Adds the header `Warning` (RFC 7234) that names the ignored fields; returns `reply` itself without any."""
    if not ignored:
        return reply
    texts = [_with_similar(endpoint, name) for name in ignored[:_MAX_NAMED]]
    if len(ignored) > _MAX_NAMED:
        texts.append(f"{len(ignored) - _MAX_NAMED} more")
    return with_warnings(reply, [f"Ignored fields: {', '.join(texts)}"])


def _known(endpoint: Endpoint) -> frozenset[str]:
    return _OF_THE_TRANSPORT | endpoint.known_fields


def _problems(endpoint: Endpoint, rejected: tuple[str, ...]) -> Problems:
    problems = {_shortened(name): [_reason(endpoint, name)] for name in rejected[:_MAX_NAMED]}
    if len(rejected) > _MAX_NAMED:
        problems["__all__"] = [f"{len(rejected) - _MAX_NAMED} more fields are unknown."]
    return problems


def _reason(endpoint: Endpoint, name: str) -> str:
    names = [one.name for one in endpoint.fields]
    if name in names:
        return "Send this field in the body, not in the query."
    near = _similar(endpoint, name)
    if near:
        return f"{endpoint.unknown_field or 'This field is unknown.'} Did you mean {near}?"
    if endpoint.unknown_field is not None:
        return endpoint.unknown_field
    return f"This field is unknown. Known: {', '.join(names)}." if names else "This field is unknown: there are none."


def _with_similar(endpoint: Endpoint, name: str) -> str:
    if name in _known(endpoint):
        return f"{name} (send it in the body)"
    near = _similar(endpoint, name)
    return f"{_quotable(name)} (did you mean {near}?)" if near else _quotable(name)


def _similar(endpoint: Endpoint, name: str) -> str | None:
    names = [one.name for one in endpoint.fields]
    found = get_close_matches(name[:_MAX_NAME], names, n=1, cutoff=_MIN_SIMILARITY)
    return found[0] if found else None


def _shortened(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…"


def _quotable(name: str) -> str:
    """The name for a quoted string of a header: ASCII without control characters, quotes and backslashes."""
    plain = "".join(
        each if each.isascii() and each.isprintable() and each not in '"\\' else "?" for each in name[:_MAX_NAME]
    )
    return plain if len(name) <= _MAX_NAME else f"{plain}..."
