"""Sets up bridges and huge pages on this machine, as an administrator does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.lab.needs import HUGE_PAGES

HUGE_PAGE_KIB = 2048
_FOLDER = Path("/dev/hugepages")  # where LXD expects their file system


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
def huge_pages(count: int) -> Iterator[None]:
    """Adds this many huge pages until the block ends."""
    before = int(HUGE_PAGES.read_text())
    mounted = "hugetlbfs" in Path("/proc/mounts").read_text()
    HUGE_PAGES.write_text(str(before + count))
    try:
        if not mounted:
            _FOLDER.mkdir(exist_ok=True)
            run("mount", "-t", "hugetlbfs", "none", str(_FOLDER))
        yield
    finally:
        HUGE_PAGES.write_text(str(before))
        if not mounted:
            run("umount", "--lazy", str(_FOLDER))
