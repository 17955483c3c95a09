"""A response of the region, and the error that one outside 2xx represents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from attrs import frozen

from common.errors import (
    InnkeeperError,
    InvalidRequest,
    LinkLost,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RequestInProgress,
)

MAX_TEXT_LENGTH = 2000
MAX_PROXY_TEXT_LENGTH = 200

_BY_STATUS: Mapping[int, type[InnkeeperError]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
}

_CONFLICT = 409
_OF_PROXIES = (502, 503, 504)


@frozen(kw_only=True)
class Answer:
    """A response. `location` is the operation of a 202, or the target of a redirect; `warnings` are for the user.

    `description_hash` is None if a server in front of the region answered.
    """

    status: int
    body: bytes
    content_type: str = ""
    location: str | None = None
    description_hash: str | None = None
    warnings: tuple[str, ...] = ()
    retry_after_s: int | None = None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def is_json(self) -> bool:
        return self.content_type.partition(";")[0].strip().lower() == "application/json"

    def json(self) -> Any:
        """Raises InnkeeperError if the body is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise InnkeeperError(f"The response is not JSON: {self.text[:200]!r}") from error


def raise_error(answer: Answer) -> NoReturn:
    """Raises the error that a response outside 2xx represents, with the region's message.

    LinkLost if a proxy answered because it got no answer of the region.
    """
    if answer.status in _OF_PROXIES and answer.description_hash is None:
        raise LinkLost(_proxy_message(answer), retry_after_s=answer.retry_after_s)
    details = {"status": answer.status, "location": answer.location, "retry_after_s": answer.retry_after_s}
    kind = _BY_STATUS.get(answer.status, InnkeeperError)
    if answer.status == _CONFLICT and answer.retry_after_s is not None:
        kind = RequestInProgress
    fields = _fields(answer) if answer.status == 400 else {}
    if fields:
        raise InvalidRequest("The region rejected the request.", fields=fields, **details)
    if 300 <= answer.status < 400:
        raise InnkeeperError(f"The server redirects to {answer.location}. Log in with that address.", **details)
    raise kind(_message(answer), **details)


def _message(answer: Answer) -> str:
    text = answer.text.strip()
    if not text:
        return f"The server answered with status {answer.status} and no message."
    if answer.content_type.startswith("text/html"):
        return f"The server answered with status {answer.status} and a web page. Is this the address of a region?"
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[:MAX_TEXT_LENGTH]}…"


def _proxy_message(answer: Answer) -> str:
    text = " ".join(answer.text.split()) if answer.content_type.startswith("text/plain") else ""
    said = f" ({text[:MAX_PROXY_TEXT_LENGTH]})" if text else ""
    return f"A server in front of the region answered with status {answer.status}{said}: the region did not answer it."


def _fields(answer: Answer) -> dict[str, list[str]]:
    if not answer.is_json:
        return {}
    plain = answer.json()
    if not isinstance(plain, dict):
        return {}
    return {str(key): [str(each) for each in (v if isinstance(v, list) else [v])] for key, v in plain.items()}
