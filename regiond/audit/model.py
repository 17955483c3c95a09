"""Entries of the audit trail, their text, and the chain of their hashes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from attrs import asdict, field, frozen

from regiond.requests.identifiers import findable, storable

MAX_VALUE_CHARS = 256
NOT_RECORDED = "(not recorded)"
REDACTED = "(redacted)"
TOKEN_KEY = re.compile(r"[0-9A-Za-z]{1,18}", re.ASCII)  # the public part of an API key; its secret is longer
_SECRETS_OF_ADDRESSES = (
    (re.compile(r"(//[^\s/@:]*+):[^\s/@]*+@"), r"\1:***@"),
    (re.compile(r"(https?://)[^\s/@]*+@", re.IGNORECASE), r"\1***@"),  # a token as the user
    (re.compile(r"(://[^\s?#]*+)[?#][^\s,]*+"), r"\1?***"),  # a signed address
)


class AuditResult(StrEnum):
    OK = "ok"
    REJECTED = "rejected"  # the caller may not, or asked for something impossible
    FAILED = "failed"  # an error of the region, of a host or of the database
    UNKNOWN = "unknown"  # no answer yet, or the region ended before

    @classmethod
    def of_status(cls, status: int) -> AuditResult:
        """From an HTTP status."""
        return cls.OK if status < 400 else cls.REJECTED if status < 500 else cls.FAILED


@frozen(kw_only=True)
class AuditRequest:
    """A request. `credential` says with what it was authenticated; never a secret.

    `fields` are short texts. While nobody knows whether the request will be rejected, they have only values of a fixed
    form, such as numbers: what is rejected is not stored.
    """

    action: str  # `Machine.power_on`, `client.compose`, `regiond.password`
    username: str | None
    credential: str
    address: str
    request_id: str
    object: str = ""
    object_name: str = ""
    fields: Mapping[str, str] = field(factory=dict)
    not_recorded: int = 0  # similar requests of strangers, or equal ones of the account, since the last entry of one


@frozen(kw_only=True)
class AuditAnswer:
    """`error` is a code of `common/errors.py`. `fields` are values that were not rejected, and may be recorded."""

    result: AuditResult
    status: int | None = None
    error: str | None = None
    operation_id: int | None = None
    fields: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class AuditEntry:
    """A request with its answer, as lists show it."""

    id: int
    at: datetime
    answered_at: datetime | None
    request: AuditRequest
    answer: AuditAnswer
    redacted_by: int | None = None  # the entry that records the latest redaction


@frozen(kw_only=True)
class RawEntry:
    """A row. `content` is the text that the hash covers; of a redacted row, the hash covers what it was before."""

    id: int
    at: datetime
    content: str
    previous_hash: bytes
    hash: bytes
    redacted_by: int | None = None

    @property
    def own_hash(self) -> bytes:
        """The correct value of `hash`; of a redacted row, of the hash that the entry `redacted_by` records."""
        at = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return hashlib.sha256(self.previous_hash + f"{self.id} {at} {self.content}".encode()).digest()


@frozen(kw_only=True)
class ChainState:
    """The newest entry, and the last that was deleted because of its age. Id 0 means none."""

    head_id: int
    head_hash: bytes
    pruned_id: int
    pruned_hash: bytes


@frozen(kw_only=True)
class ChainReport:
    """The result of a verification of the whole trail."""

    first_id: int
    head_id: int
    head_hash: bytes
    problems: tuple[str, ...]
    redacted: int = 0  # rows


@frozen(kw_only=True)
class Redaction:
    """The values of requests to replace by `(redacted)`, and the reason.

    Either all fields of `entry_ids`, their names too; or those `fields`, of all requests if `entry_ids` is empty; or
    with `unlisted` whatever the trail would not record today.
    """

    entry_ids: tuple[int, ...] = ()
    fields: tuple[str, ...] = ()
    unlisted: bool = False
    comment: str = ""


@frozen(kw_only=True)
class RedactionReport:
    """The number of requests that were redacted, or would be; another call continues after `after_id`, if any."""

    requests: int
    after_id: int | None = None

    @property
    def is_complete(self) -> bool:
        return self.after_id is None


@frozen(kw_only=True)
class RecordedFields:
    """The fields of an action whose accepted values the trail has: texts, and values of a fixed form."""

    texts: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()


@frozen(kw_only=True)
class AuditFilter:
    """All given conditions apply. `before_id` continues from the last entry of a page; `after_id` the oldest first."""

    username: str | None = None
    action: str | None = None
    object: str | None = None  # the path or the name, also what is below the path; of a machine, also its id
    result: AuditResult | None = None
    since: datetime | None = None
    until: datetime | None = None
    before_id: int | None = None
    after_id: int | None = None
    oldest_first: bool = False
    limit: int = 100


def request_text(request: AuditRequest, answer: AuditAnswer | None = None) -> str:
    """Returns the content of a request's entry, with its answer if that is known already."""
    if answer is None:
        return _text(asdict(request))
    return _text({**asdict(request), **asdict(answer), "fields": {**request.fields, **answer.fields}})


def answer_text(request_id: int, answer: AuditAnswer) -> str:
    """Returns the content of the entry that answers the entry `request_id`."""
    return _text({"answers": request_id, **asdict(answer)})


def clipped(value: object) -> str:
    """Returns the value as a text that an entry can hold."""
    text = str(value)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}… ({len(text)} characters)"


def recorded_text(value: object) -> str:
    """Returns an accepted value as an entry has it: one line, shortened, without the secrets of addresses."""
    text = _joined(value)
    return clipped(_without_secrets(text)) if text.isprintable() else NOT_RECORDED


def is_recordable(text: str) -> bool:
    """Whether an accepted text, which may be shortened already, is recorded as it is."""
    return text.isprintable() and _without_secrets(text) == text


def _without_secrets(text: str) -> str:
    for pattern, shown in _SECRETS_OF_ADDRESSES:
        text = pattern.sub(shown, text)
    return text


def _joined(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return ", ".join(_joined(one) for one in value)
    return str(value)


def _text(values: Mapping[str, Any]) -> str:
    """Compact JSON without empty values. jsonb rejects NUL and lone surrogates."""
    filled = {name: value for name, value in values.items() if value not in (None, "", 0) and value != {}}
    return json.dumps(_storable(filled), ensure_ascii=False, separators=(",", ":"))


def _storable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_storable(key): _storable(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return storable(findable(str(value)))
    return value
