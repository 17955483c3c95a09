"""Reports of guests, sent by the test in their place, to the address in their cloud-init data."""

from __future__ import annotations

import email
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import default as modern
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from common.addresses.report_url import ReportAddress, ReportPage, find_report, report_url

_ANSWER_S = 20.0


def texts_of(user_data: bytes) -> list[str]:
    """The decoded parts of a MIME message, or the text itself."""
    parts = email.message_from_bytes(user_data, policy=modern).walk()
    contents = [part.get_content() for part in parts if isinstance(part, EmailMessage) and not part.is_multipart()]
    return [one if isinstance(one, str) else bytes(one).decode("utf-8", "replace") for one in contents]


def report_of(user_data: bytes) -> ReportAddress | None:
    """Where and with what secret the guest reports; None if it is not to report."""
    return next((found for text in texts_of(user_data) if (found := find_report(text)) is not None), None)


def url_of_report(guest_url: str, user_data: bytes) -> str | None:
    """Where the guest reports that it has booted; None if it is not to report."""
    found = report_of(user_data)
    return None if found is None else report_url(guest_url, found.deployment_id, found.secret)


def send_report(url: str, page: ReportPage = ReportPage.BOOTED, fields: Mapping[str, str] | None = None) -> bool:
    """Blocks. Returns whether the report counts: it may be too early."""
    request = Request(url + page, data=urlencode(fields or {"hostname": "guest"}).encode(), method="POST")  # noqa: S310  # of the test
    try:
        with urlopen(request, timeout=_ANSWER_S) as answer:  # noqa: S310
            return bool(answer.status == HTTPStatus.NO_CONTENT)
    except HTTPError:
        return False
