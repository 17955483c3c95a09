"""Does the duties of process 1 in a container: reaps orphans and forwards signals.

libvirtd waits until its helper processes have exited. They are orphans then, and zombies until PID 1 reaps them.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def fork_if_pid1() -> None:
    """As process 1, continues in a child; this process reaps, forwards and exits with the child's status."""
    if os.getpid() != 1:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)  # process 1 ignores what it has no handler for yet
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return

    def forward(number: int, _: FrameType | None) -> None:
        os.kill(child, number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    ended, status = 0, 0
    while ended != child:
        ended, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)
