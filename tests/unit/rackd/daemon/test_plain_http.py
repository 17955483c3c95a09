"""A header with a secret is sent over plain HTTP only on this computer, or if the settings say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import BadSettings
from rackd.settings import RackSettings
from regiond.process.settings import RegionSettings

HEADER = Path("/etc/innkeeper/header")
OF_DAEMONS = [
    (RegionSettings, "audit_export", "audit_export_header"),
    (RegionSettings, "traces_endpoint", "traces_headers"),
    (RackSettings, "traces_endpoint", "traces_headers"),
]


@pytest.mark.parametrize(("kind", "url", "header"), OF_DAEMONS)
@pytest.mark.parametrize("server", ["http://logs.example.net/in", "http://192.0.2.7:4318", "http://[2001:db8::1]/"])
def test_a_header_for_another_computer_needs_consent(kind: Any, url: str, header: str, server: str) -> None:
    with pytest.raises(BadSettings, match=rf"{url} sends the header of {HEADER} .* set allow_plain_http to true"):
        kind(**{url: server, header: HEADER}).check()
    kind(**{url: server, header: HEADER}, allow_plain_http=True).check()
    kind(**{url: server}).check()


@pytest.mark.parametrize(("kind", "url", "header"), OF_DAEMONS)
@pytest.mark.parametrize(
    "server", ["http://127.0.0.1:4318", "http://localhost/in", "http://[::1]/", "https://a.example"]
)
def test_a_header_for_this_computer_or_https_needs_none(kind: Any, url: str, header: str, server: str) -> None:
    kind(**{url: server, header: HEADER}).check()
