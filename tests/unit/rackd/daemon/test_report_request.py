"""What the report port of a rack reads: decided by the headers, and forms of a few fields."""

from __future__ import annotations

import time

import pytest

from common.addresses.report_url import ReportAddress, ReportPage
from common.errors import InvalidRequest
from rackd.reports.report_request import MAX_BODY_BYTES, MAX_FIELDS, Refusal, read_form, wanted_page

SECRET = "s" * 43
TARGET = f"/MAAS/report/7/{SECRET}".encode()
FORM = b"application/x-www-form-urlencoded"


@pytest.mark.parametrize("content_type", [FORM, b"Application/X-WWW-Form-Urlencoded; charset=utf-8"])
def test_a_report_is_a_short_urlencoded_form(content_type: bytes) -> None:
    found = wanted_page(b"POST", TARGET + b"?x=y", length=MAX_BODY_BYTES, content_type=content_type)
    assert found == ReportAddress(deployment_id=7, secret=SECRET)


def test_pages_without_a_body_need_no_content_type() -> None:
    found = wanted_page(b"GET", TARGET + b"/user-data", length=0, content_type=None)
    assert found == ReportAddress(deployment_id=7, secret=SECRET, page=ReportPage.USER_DATA)
    assert wanted_page(b"POST", TARGET, length=0, content_type=None) == ReportAddress(deployment_id=7, secret=SECRET)


@pytest.mark.parametrize(
    ("method", "target", "length", "content_type", "status"),
    [
        (b"POST", b"/", 0, None, 404),
        (b"POST", b"\xff", 0, None, 404),
        (b"GET", TARGET, 0, None, 404),
        (b"POST", TARGET + b"/user-data", 0, None, 404),
        (b"POST", TARGET, None, FORM, 411),
        (b"POST", TARGET, MAX_BODY_BYTES + 1, FORM, 413),
        (b"POST", TARGET, 1, b"multipart/form-data; boundary=b", 415),
        (b"POST", TARGET, 1, None, 415),
    ],
)
def test_everything_else_is_refused(
    method: bytes, target: bytes, length: int | None, content_type: bytes | None, status: int
) -> None:
    found = wanted_page(method, target, length=length, content_type=content_type)
    assert isinstance(found, Refusal)
    assert found.status == status


def test_the_first_value_of_a_field_counts() -> None:
    assert read_form(b"a=1&a=2&b=&c=%ff%C3%A4+x") == {"a": "1", "b": "", "c": "\ufffdä x"}


def test_a_form_has_few_fields() -> None:
    with pytest.raises(InvalidRequest, match=f"more than {MAX_FIELDS} fields"):
        read_form(b"&".join([b"a=b"] * (MAX_FIELDS + 1)))


@pytest.mark.parametrize("part", [b"%41", b"%", b";", b'"', b"=", b"+"])
def test_a_hostile_form_is_read_in_little_time(part: bytes) -> None:
    before = time.process_time()
    read_form(b"a=" + part * (MAX_BODY_BYTES // len(part)))
    assert time.process_time() - before < 0.5
