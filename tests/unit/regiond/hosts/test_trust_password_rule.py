"""To which server a trust password may be sent (docs/decisions/0019)."""

from __future__ import annotations

from typing import Any

import pytest

from common.values import DriverType
from regiond.hosts.store import HostConnection


def host(**facts: Any) -> HostConnection:
    """An LXD host whose server presents the certificate `a`, which nobody has confirmed."""
    usual: dict[str, Any] = {
        "driver": DriverType.LXD, "address": "hv:8443", "project": "default", "member": None, "pinned": "PEM",
        "pinned_fingerprint": "a", "system_id": "wdpx3n", "name": "hv", "state": "pending", "error_code": None,
        "trust_error": None, "rejected_secret": None, "discovered": False, "is_new": True, "expected_fingerprint": None,
        "trust_on_first_use": False, "known_server": False, "has_password": True, "has_secrets": True,
        "product": "",
    }  # fmt: skip
    return HostConnection(**(usual | facts))


@pytest.mark.parametrize(
    ("facts", "may"),
    [
        ({}, False),
        ({"expected_fingerprint": "b"}, False),
        ({"pinned": None, "pinned_fingerprint": None}, False),
        ({"expected_fingerprint": "a"}, True),
        ({"known_server": True}, True),
        ({"trust_on_first_use": True}, True),
    ],
    ids=["unconfirmed", "another confirmed", "not pinned", "confirmed", "known server", "asked for by name"],
)
def test_a_password_goes_to_confirmed_or_known_servers(facts: dict[str, Any], may: bool) -> None:
    assert host(**facts).may_have_password is may
