"""Tests on real hypervisors: everything here is marked `lab`, and skipped with the reason where the lab is not up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.contract.libvirt_benches import QemuBench, qemu_bench
from tests.lab.needs import LAB_DIR, SSH_PORT, why_no_ssh
from tests.lab.own_libvirtd import OwnLibvirtd, why_no_own_libvirtd

INSTALLATION = UUID("6f0d0c60-7a59-4f4b-9a8f-5d5ad0f1c002")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[QemuBench]:
    """The system's libvirt with a storage pool for this test."""
    bench = qemu_bench(INSTALLATION, tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def lab_ssh() -> tuple[str, str]:
    """The lab's sshd: an address to open, and the private key it takes."""
    if (why := why_no_ssh()) is not None:
        pytest.skip(why)
    return f"qemu+ssh://root@127.0.0.1:{SSH_PORT}/system", (LAB_DIR / "ssh" / "client").read_text()


@pytest.fixture
def own_libvirtd(tmp_path: Path) -> Iterator[OwnLibvirtd]:
    """A libvirtd that only this test uses, to be stopped and killed."""
    if (why := why_no_own_libvirtd()) is not None:
        pytest.skip(why)
    daemon = OwnLibvirtd(tmp_path)
    daemon.start()
    yield daemon
    daemon.close()
