"""Decides what is noted of the copy of a disk while its machine runs, and when it is given up. Pure."""

from __future__ import annotations

from attrs import define, field

from common.disks.disk_content import CopiedDisk
from common.words.phrases import number_of

PERCENT_NOTED = 5  # in the log: each so many
STANDS_S = 600.0  # a copy of which nothing more was copied for so long is given up


@define
class CopyProgress:
    """The progress of one copy. Times are those of one clock, in seconds.

    A host that tells no bytes, as a rack of an earlier release, is never given up: one per cent of a large disk takes
    longer.
    """

    _began_s: float
    _noted: int = field(default=0, init=False)
    _done_bytes: int | None = field(default=None, init=False)
    _moved_s: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._moved_s = self._began_s

    def saw(self, copied: CopiedDisk, now_s: float) -> int | None:
        """Returns the per cent if they are to be noted."""
        if copied.done_bytes is None or copied.done_bytes != self._done_bytes:
            self._done_bytes, self._moved_s = copied.done_bytes, now_s
        if copied.percent is None or copied.percent < self._noted + PERCENT_NOTED:
            return None
        self._noted = copied.percent
        return copied.percent

    def stands(self, now_s: float) -> bool:
        """Returns whether nothing more was copied for STANDS_S."""
        return now_s - self._moved_s >= STANDS_S


def standstill_text(title: str, hostname: str, host_name: str, percent: int | None, pool: str, copy: str) -> str:
    """Returns what an operator reads of a copy that was given up: what is where, and what helps."""
    done = "" if percent is None else f" at {percent} %"
    minutes = number_of(round(STANDS_S / 60), "minute")
    return (
        f"{title} of {hostname} was not moved: its copy {copy} has stood{done} for {minutes}. The disk stays in "
        f"{pool}, where {hostname} uses it, and the copy is deleted. Look for errors of the storage on {host_name} "
        f"(virsh domblkerror {hostname}, and the log of its QEMU), or move the disk while the machine is off."
    )
