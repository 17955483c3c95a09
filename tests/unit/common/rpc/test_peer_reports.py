"""What a peer reports of itself in its hello."""

from __future__ import annotations

import pytest

from common.rpc.peers import idle_timeout_capability, idle_timeout_of, release_capability


@pytest.mark.parametrize(
    ("capability", "idle_timeout_s"),
    [
        (idle_timeout_capability(45.0), 45.0),
        (idle_timeout_capability(7.5), 7.5),
        ("idle-timeout:1e9", 600.0),
        ("idle-timeout:inf", 600.0),
        ("idle-timeout:nan", None),
        ("idle-timeout:-3", None),
        ("idle-timeout:1e-9", None),
        ("idle-timeout:soon", None),
        ("idle-timeout", None),
    ],
)
def test_a_reported_idle_timeout_is_one_that_a_setting_permits(capability: str, idle_timeout_s: float | None) -> None:
    assert idle_timeout_of([release_capability("1.2"), capability]) == idle_timeout_s
