"""Decides which values of an old request are redacted. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from attrs import frozen

from regiond.audit.model import NOT_RECORDED, REDACTED, TOKEN_KEY, AuditResult, RecordedFields, Redaction, is_recordable

_Recorded = Mapping[str, RecordedFields]


@frozen(kw_only=True)
class Target:
    """A request and the fields of it that are to be redacted; None for all, their names too.

    `login`: which of `username` and `credential` are, of somebody who was not logged in.
    """

    id: int
    fields: tuple[str, ...] | None = None
    login: tuple[str, ...] = ()


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

    @property
    def named(self) -> str | None:
        """The account as which somebody who was not logged in tried to log in, or what was typed instead."""
        if not self.rejected_at_once:
            return None
        names = {_WEB_LOGIN: self.content, _API_LOGIN: self.values}.get(self.content.get("action", ""), {})
        return names.get("username")

    @property
    def is_of_stranger(self) -> bool:
        return self.rejected_at_once and ("username" not in self.content or self.content.get("action") == _WEB_LOGIN)


_KEY = re.compile(r"API key (.*)", re.DOTALL)
_WEB_LOGIN, _API_LOGIN = "session.log_in", "Authenticate.create"
_NO_VALUES = frozenset({NOT_RECORDED, REDACTED})


def target(one: OldRequest, wanted: Redaction, recorded: _Recorded, accounts: Collection[str] = ()) -> Target | None:
    """Returns what is to be redacted of the request, if anything. `accounts` are the names of those that exist."""
    if not (wanted.fields or wanted.unlisted):
        return Target(id=one.id)
    names = _unlisted(one, recorded, accounts) if wanted.unlisted else one.values.keys() & set(wanted.fields)
    login = _unlisted_login(one, accounts) if wanted.unlisted else ()
    return Target(id=one.id, fields=tuple(sorted(names)), login=login) if names or login else None


def _unlisted(one: OldRequest, recorded: _Recorded, accounts: Collection[str]) -> Iterable[str]:
    """Returns the fields that would not be recorded today.

    Of a request that was rejected at once, no value but an account that exists would be; of one that was rejected while
    it ran, values of a fixed form; of others, texts only as they would be recorded.
    """
    if one.rejected_at_once:
        is_account = one.content.get("action") == _API_LOGIN and one.named in accounts
        return one.values.keys() - ({"username"} if is_account else frozenset())
    listed = recorded.get(one.content.get("action", ""), RecordedFields())
    texts = frozenset() if one.rejected else {name for name in listed.texts if is_recordable(one.values.get(name, ""))}
    return one.values.keys() - listed.fixed - texts


def _unlisted_login(one: OldRequest, accounts: Collection[str]) -> tuple[str, ...]:
    if not one.is_of_stranger:
        return ()
    username, credential = (one.content.get(name, "") for name in ("username", "credential"))
    key = _KEY.fullmatch(credential)
    return (
        *(("username",) if username not in {"", REDACTED, *accounts} else ()),
        *(("credential",) if key and key[1] != NOT_RECORDED and not TOKEN_KEY.fullmatch(key[1]) else ()),
    )
