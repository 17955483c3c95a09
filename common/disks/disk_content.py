"""The content of a disk in parts, as it is read from a host and written to one."""

from __future__ import annotations

from attrs import field, frozen

MAX_PART_BYTES = 896 * 1024  # a frame has at most 1 MiB
MAX_ZERO_BYTES = 256 * 2**20  # of a part that is written: a host may have to write them


@frozen(kw_only=True)
class DiskPart:
    """A part of a disk from `start` on: zeros up to `offset`, then `data`, at most MAX_PART_BYTES.

    Without data, the disk has zeros up to `offset`, where the next part begins.
    """

    start: int
    offset: int
    data: bytes = field(default=b"", repr=False)

    @property
    def end(self) -> int:
        """The place where the next part begins."""
        return self.offset + len(self.data)


@frozen(kw_only=True)
class ReadPart:
    """A part that was read. `size_bytes` is the size of the disk; `state` changes when the disk may have been written.

    A host that cannot tell has an empty state.
    """

    part: DiskPart
    size_bytes: int
    state: str = ""


@frozen(kw_only=True)
class CopiedDisk:
    """`state` names the content of the disk when it was copied, for its use. A copy that is not `is_complete` goes on;
    `percent` of it are copied, and `done_bytes` that only grow while something is copied; None if the host does not
    tell.
    """

    state: str
    percent: int | None = None
    done_bytes: int | None = None
    is_complete: bool = True


def is_zero(data: bytes | bytearray) -> bool:
    return data.count(0) == len(data)
