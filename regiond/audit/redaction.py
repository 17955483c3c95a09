"""Decides which values of an old request are redacted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from regiond.audit.model import NOT_RECORDED, REDACTED, AuditResult, RecordedFields, Redaction

_Recorded = Mapping[str, RecordedFields]


@frozen(kw_only=True)
class Target:
    """A request and the fields of it that are to be redacted; None for all, their names too."""

    id: int
    fields: tuple[str, ...] | None = None


@frozen(kw_only=True)
class OldRequest:
    """The contents of the entries of a request."""

    id: int
    content: Mapping[str, Any]
    answers: tuple[Mapping[str, Any], ...] = ()

    @property
    def values(self) -> Mapping[str, str]:
        """The values that it still has. Names in parentheses are ours."""
        found: dict[str, str] = {}
        for one in (self.content, *self.answers):
            found |= {name: value for name, value in one.get("fields", {}).items() if value not in _NO_VALUES}
        return {name: value for name, value in found.items() if not name.startswith("(")}

    @property
    def rejected_at_once(self) -> bool:
        return self.content.get("result") == AuditResult.REJECTED

    @property
    def rejected(self) -> bool:
        return self.rejected_at_once or any(one.get("result") == AuditResult.REJECTED for one in self.answers)


_NO_VALUES = frozenset({NOT_RECORDED, REDACTED})


def target(one: OldRequest, wanted: Redaction, recorded: _Recorded) -> Target | None:
    """Returns what is to be redacted of the request, if anything."""
    if not (wanted.fields or wanted.unlisted):
        return Target(id=one.id)
    names = _unlisted(one, recorded) if wanted.unlisted else one.values.keys() & set(wanted.fields)
    return Target(id=one.id, fields=tuple(sorted(names))) if names else None


def _unlisted(one: OldRequest, recorded: _Recorded) -> Iterable[str]:
    """What would not be recorded today: of a request that was rejected at once, no value; of one that was rejected
    while it ran, those of a fixed form.
    """
    if one.rejected_at_once:
        return set(one.values)
    listed = recorded.get(one.content.get("action", ""), RecordedFields())
    return one.values.keys() - listed.fixed - (frozenset() if one.rejected else listed.texts)
