"""Decides which requests the report port answers: by method, path and headers, before a body is read. Pure."""

from __future__ import annotations

from urllib.parse import parse_qsl

from attrs import frozen

from common.addresses.report_url import ReportAddress, ReportPage, read_report_path
from common.errors import InvalidRequest

MAX_BODY_BYTES = 8 * 1024
MAX_FIELDS = 20
FORM = "application/x-www-form-urlencoded"


@frozen(kw_only=True)
class Refusal:
    """An answer that ends the connection."""

    status: int
    text: str


NOT_FOUND = Refusal(status=404, text="Not found.")
_NO_LENGTH = Refusal(status=411, text="Give the length of the body (Content-Length).")
_TOO_LONG = Refusal(status=413, text=f"The body is larger than {MAX_BODY_BYTES} bytes.")
_NO_FORM = Refusal(status=415, text=f"The body is not of the type {FORM}.")


def wanted_page(
    method: bytes, target: bytes, *, length: int | None, content_type: bytes | None
) -> ReportAddress | Refusal:
    """Returns what is asked for. `length` is that of the body in bytes; None if the headers do not say."""
    found = read_report_path(target.partition(b"?")[0].decode("ascii", "replace"))
    if found is None or method != (b"GET" if found.page is ReportPage.USER_DATA else b"POST"):
        return NOT_FOUND
    if length is None:
        return _NO_LENGTH
    if length > MAX_BODY_BYTES:
        return _TOO_LONG
    kind = (content_type or b"").partition(b";")[0].strip().lower()
    return found if length == 0 or kind == FORM.encode() else _NO_FORM


def read_form(content: bytes) -> dict[str, str]:
    """Returns the first value of each field; invalid UTF-8 is replaced. Raises InvalidRequest for too many fields."""
    try:
        pairs = parse_qsl(
            content.decode(errors="replace"), keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise InvalidRequest(f"The form has more than {MAX_FIELDS} fields.") from None
    return dict(reversed(pairs))
