"""Process 1 of a container has two duties that no other has: it takes in the orphans, and it has no default signals.

libvirtd, for one, waits for its helpers to be gone; they are orphans by then, and stay as long as nobody collects them.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def hand_over() -> None:
    """As process 1, go on in a child and keep this process for the duties; it ends with the child, as the child did."""
    if os.getpid() != 1:
        return
    child = os.fork()
    if child == 0:
        return

    def forward(number: int, _: FrameType | None) -> None:
        os.kill(child, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    ended, status = 0, 0
    while ended != child:
        ended, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)
