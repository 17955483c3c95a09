"""Sets up bridges and huge pages on this machine, as an administrator does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from uuid import uuid4

from tests.lab.servers.needs import HUGE_PAGES

HUGE_PAGE_KIB = 2048
TRIES = 5
_FOLDER = Path("/dev/hugepages")  # where LXD expects their file system
_LOCK = Path("/run/innkeeper-tests-huge-pages.lock")  # /run is one for all test runs, /proc is not


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def host_bridge(address: str) -> Iterator[str]:
    """A bridge without a hypervisor's network, with this address (`10.254.7.1/24`)."""
    name = f"ikbr{uuid4().hex[:8]}"
    run("ip", "link", "add", name, "type", "bridge")
    try:
        run("ip", "address", "add", address, "dev", name)
        run("ip", "link", "set", name, "up")
        yield name
    finally:
        run("ip", "link", "delete", name)


@contextmanager
def host_interface() -> Iterator[str]:
    """An interface of this machine that guests can share: one end of a pair, whose other end nothing uses."""
    name = f"ikif{uuid4().hex[:8]}"
    run("ip", "link", "add", name, "type", "veth", "peer", f"{name}p")
    try:
        run("ip", "link", "set", name, "up")
        yield name
    finally:
        run("ip", "link", "delete", name)


@contextmanager
def huge_pages(count: int) -> Iterator[None]:
    """Adds this many huge pages until the block ends. The machine has one number of them, for all namespaces.

    One block at a time has huge pages, so that a test which uses them up meets the refusal: another's pages would
    let its machine through. Their file system stays mounted, as systemd mounts it on every machine: other tests may
    use it.
    """
    with _LOCK.open("a+") as lock:
        flock(lock, LOCK_EX)
        lock.seek(0)
        before = int(lock.read() or HUGE_PAGES.read_text())  # written by a block that was killed and left its pages
        lock.truncate(0)
        lock.write(str(before))
        lock.flush()
        try:
            _set_huge_pages(before + count)
            yield
        finally:
            _set_huge_pages(before)
            lock.truncate(0)


def _set_huge_pages(wanted: int) -> None:
    with HUGE_PAGES.open("r+") as file:
        if "hugetlbfs" not in Path("/proc/mounts").read_text():
            _FOLDER.mkdir(exist_ok=True)
            run("mount", "-t", "hugetlbfs", "none", str(_FOLDER))
        for _ in range(TRIES):
            file.seek(0)
            file.write(str(wanted))
            file.flush()
            file.seek(0)
            if int(file.read()) == wanted:
                return
            # The kernel gives what it finds in one piece: its caches may be in the way.
            Path("/proc/sys/vm/drop_caches").write_text("1")
            Path("/proc/sys/vm/compact_memory").write_text("1")
    raise AssertionError(f"this machine has no free memory for {wanted} huge pages")
