"""Requests and answers of the recorded MAAS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"


@frozen(kw_only=True)
class Request:
    """`path` is that after `/MAAS/api/2.0/`; `query` and `form` have lists, because keys may repeat."""

    method: str
    path: str
    op: str | None = None
    query: Mapping[str, list[str]] = field(factory=dict)
    form: Mapping[str, list[str]] = field(factory=dict)
    authorization: str = field(default="", repr=False)
    user: Mapping[str, Any] = field(factory=dict, repr=False)  # the row of the caller, once it is known
    arguments: tuple[str, ...] = ()  # the parts of the path that vary

    def all(self, key: str) -> list[str]:
        return list(self.query.get(key, []))

    @property
    def is_admin(self) -> bool:
        return bool(self.user.get("is_superuser"))


@frozen(kw_only=True)
class Answer:
    status: int = 200
    body: bytes = b""
    content_type: str = TEXT
    headers: Mapping[str, str] = field(factory=dict)


def json_answer(value: object, status: int = 200) -> Answer:
    return Answer(status=status, body=json.dumps(value, indent=4).encode(), content_type=JSON)


def text_answer(message: str, status: int) -> Answer:
    return Answer(status=status, body=message.encode())


class Refused(Exception):
    """Ends the request with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refused(status: int, message: str) -> Refused:
    return Refused(text_answer(message, status))
