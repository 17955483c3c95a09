"""A network of its own for a worker of pytest: what tests of another one create or delete there changes nothing here.

Chromium ends its requests with ERR_NETWORK_CHANGED when any interface gets or loses an address, as LXD's bridges do.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import threading

_CLONE_NEWNS, _CLONE_NEWNET = 0x0002_0000, 0x4000_0000  # sched.h; Python has os.unshare since 3.12


def enter() -> None:
    """Puts this thread, and the threads and processes that it starts, in new network and mount namespaces.

    For the main thread of a process, as root, in the namespaces of `in_namespace`, whose /sys it replaces. Raises
    OSError or subprocess.CalledProcessError.
    """
    assert threading.current_thread() is threading.main_thread()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no network of its own for a worker: {os.strerror(number)}")
    _run("ip", "link", "set", "lo", "up")
    # What is mounted here is not there outside. In a chroot, / is no mount point, and nothing leaves it anyway.
    subprocess.run(["mount", "--make-rprivate", "/"], check=False, stderr=subprocess.DEVNULL, timeout=60)
    folder = tempfile.mkdtemp(prefix="innkeeper-sys-")
    _run("mount", "-t", "sysfs", "sysfs", folder)  # shows this namespace's interfaces
    _run("mount", "--rbind", "/sys/fs/cgroup", f"{folder}/fs/cgroup")
    _run("mount", "--rbind", folder, "/sys")
    _run("umount", "--recursive", "--lazy", folder)
    os.rmdir(folder)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=60)
