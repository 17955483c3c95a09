"""How the audit trail has a value that may be recorded."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from regiond.audit.model import recorded_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (4096, "4096"),
        (("web-1", "web-2"), "web-1, web-2"),
        (datetime(2026, 11, 24, tzinfo=UTC), "2026-11-24T00:00:00+00:00"),
        ("qemu+ssh://root:hunter2@h/system", "qemu+ssh://root:***@h/system"),
        ("https://hunter2@h/image.img", "https://***@h/image.img"),
        ("https://ada:hunter2@h/image.img", "https://***@h/image.img"),
        ("https://h/image.img?signature=hunter2", "https://h/image.img?***"),
        ("https://h/image.img#hunter2", "https://h/image.img?***"),
        ("a\nb", "(not recorded)"),
        ("x" * 300, "x" * 256 + "… (300 characters)"),
    ],
)
def test_values_are_one_line_and_addresses_have_no_secrets(value: object, text: str) -> None:
    assert recorded_text(value) == text
