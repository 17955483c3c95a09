"""The decision on a request with an idempotency key, and the answers that are kept. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from attrs import define, evolve, field, frozen

LEASE = timedelta(seconds=30)
MAX_ANSWER_BYTES = 1024 * 1024  # of the body; the body of a single object has some 10 KiB
MAX_ANSWERS = 2000  # of one account
MAX_KEY_CHARS = 255


@define(kw_only=True)
class IdempotencyKey:
    """The key of a request that runs now. `digest` identifies the request.

    `is_recorded`: other regions see that the request runs. `is_tied`: the request opens an operation, so no answer has
    to be kept.
    `operation_id` is set once an equal request is known to have opened that operation.
    """

    account_id: int
    text: str
    digest: bytes = field(repr=False)
    is_recorded: bool = False
    is_tied: bool = False
    operation_id: int | None = None


@frozen(kw_only=True)
class StoredKey:
    """The record of a key: its request, and the operation or the answer; neither while the request runs.

    `is_abandoned`: the region that ran the request ended, or lost the database, before it could record the result.
    """

    digest: bytes
    operation_id: int | None = None
    sealed_answer: bytes | None = field(default=None, repr=False)
    is_abandoned: bool = False


class Verdict(StrEnum):
    """The decision on a request with a key."""

    RUN = "run"
    MISMATCH = "mismatch"  # the key belongs to another request
    JOIN = "join"  # wait for the operation that an equal request opened
    REPLAY = "replay"  # repeat the answer to an equal request
    WAIT = "wait"  # an equal request runs
    UNKNOWN = "unknown"  # an equal request ran; its result is unknown


def decide(stored: StoredKey | None, digest: bytes) -> Verdict:
    if stored is None:
        return Verdict.RUN
    if stored.digest != digest:
        return Verdict.MISMATCH
    if stored.operation_id is not None:
        return Verdict.JOIN
    if stored.sealed_answer is not None:
        return Verdict.REPLAY
    return Verdict.UNKNOWN if stored.is_abandoned else Verdict.WAIT


@frozen(kw_only=True)
class KeptAnswer:
    """A successful answer of a request. `body` is None if it was too long to be kept."""

    status: int
    content_type: str
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes | None = field(default=b"", repr=False)
    operation_id: int | None = None  # the operation that the request began

    def bounded(self) -> KeptAnswer:
        """Returns the answer without its body if that is too long."""
        return self if len(self.body or b"") <= MAX_ANSWER_BYTES else evolve(self, body=None)

    def packed(self) -> bytes:
        """Returns the answer as compressed bytes: the head as a line of JSON, then the body."""
        head: dict[str, Any] = {"status": self.status, "type": self.content_type, "headers": dict(self.headers)}
        if self.operation_id is not None:
            head["operation"] = self.operation_id
        if self.body is None:
            head["omitted"] = True
        return zlib.compress(json.dumps(head).encode() + b"\n" + (self.body or b""))

    @classmethod
    def unpacked(cls, data: bytes) -> KeptAnswer:
        """Returns the answer of which `data` is the `packed` form."""
        line, _, body = zlib.decompress(data).partition(b"\n")
        head = json.loads(line)
        return cls(
            status=head["status"], content_type=head["type"], headers=head["headers"],
            body=None if head.get("omitted") else body, operation_id=head.get("operation"),
        )  # fmt: skip
