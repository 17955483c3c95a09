"""Recognizes errors of a computer that has no more file descriptors, memory or space."""

from __future__ import annotations

import errno

from common.process.private_files import DISK_FULL_ERRNOS

_FILES = (errno.EMFILE, errno.ENFILE)
_REMEDIES = {
    **dict.fromkeys(_FILES, "Raise LimitNOFILE of its service, or find out what uses its files."),
    **dict.fromkeys(DISK_FULL_ERRNOS, "Free space on its disk."),
    errno.ENOMEM: "Give it more memory.",
}


def exhaustion(error: BaseException) -> str | None:
    """Returns the problem and its remedy in words; None for any other error, such as a bug."""
    if not isinstance(error, OSError) or error.errno not in _REMEDIES:
        return None
    return f"{error}. {_REMEDIES[error.errno]}"
