"""A copy that goes on: what is noted of it, and when it stands still."""

from __future__ import annotations

import pytest

from common.disks.disk_content import CopiedDisk
from regiond.machines.hardware.disks.copy_progress import STANDS_S, CopyProgress, standstill_text


def copied(percent: int | None, done_bytes: int | None) -> CopiedDisk:
    return CopiedDisk(state="", percent=percent, done_bytes=done_bytes, is_complete=False)


def test_each_five_per_cent_are_noted() -> None:
    progress = CopyProgress(0.0)
    noted = [progress.saw(copied(percent, percent), 0.0) for percent in (0, 4, 5, 9, 30, 34, 35, 99)]
    assert noted == [None, None, 5, None, 30, None, 35, 99]


def test_a_copy_stands_if_no_byte_is_copied_although_it_is_one_per_cent() -> None:
    progress = CopyProgress(0.0)
    for number in range(100):
        progress.saw(copied(1, number), number * STANDS_S / 2)
        assert not progress.stands(number * STANDS_S / 2)
    last_s = 99 * STANDS_S / 2
    progress.saw(copied(1, 99), last_s + STANDS_S - 1)
    assert not progress.stands(last_s + STANDS_S - 1)
    assert progress.stands(last_s + STANDS_S)


@pytest.mark.parametrize("percent", [None, 50])
def test_a_host_that_tells_no_bytes_is_not_given_up(percent: int | None) -> None:
    progress = CopyProgress(0.0)
    for number in range(9):
        progress.saw(copied(percent, None), number * STANDS_S)
        assert not progress.stands(number * STANDS_S)


def test_the_text_says_what_is_where() -> None:
    text = standstill_text("data", "web", "kvm1", 41, "slow", "ik-1 in fast")
    assert text.startswith("data of web was not moved: its copy ik-1 in fast has stood at 41 % for 10 minutes.")
    assert "The disk stays in slow, where web uses it, and the copy is deleted." in text
    assert " has stood for 10 minutes" in standstill_text("data", "web", "kvm1", None, "slow", "ik-1 in fast")
