"""The load of `./dev test --stress`: which processes it may stop for a moment."""

from __future__ import annotations

import subprocess

import pytest

from tests.tiers.stress import descendants


@pytest.mark.parametrize(
    ("command", "stopped"), [(("bash", "-c", "cat; exit"), 1), (("script", "-qec", "cat", "/dev/null"), 0)]
)
def test_a_child_is_spared_whose_parent_would_stay_stopped(command: tuple[str, ...], stopped: int) -> None:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"runs\n")
        process.stdin.flush()
        assert process.stdout.readline().strip() == b"runs"
        found = list(descendants(process.pid))
        process.stdin.close()
    assert len(found) == stopped
