"""Consoles of a libvirtd that hangs, in a process of their own: libvirt's library can end the process that uses it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.lab_host import LabHost
from tests.lab.own_libvirtd import OwnLibvirtd

CONSOLES = 6
DEADLINE_S = 90.0


@pytest.fixture
def lab_host(tmp_path: Path, own_libvirtd: OwnLibvirtd) -> Iterator[LabHost]:
    tmp_path.chmod(0o755)
    host = LabHost(tmp_path, uri=own_libvirtd.uri)
    yield host
    host.connect()
    host.close()


def test_closing_the_consoles_of_a_hung_libvirtd_ends_no_process(own_libvirtd: OwnLibvirtd, lab_host: LabHost) -> None:
    """libvirt 9.0 ends with SIGSEGV if two threads wait for one connection when it is lost."""
    command = [sys.executable, "-P", "-m", "tests.lab.console_holder", own_libvirtd.uri, lab_host.pool_id]
    command += [lab_host.prefix, str(CONSOLES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            own_libvirtd.send(signal.SIGSTOP)
            said, _ = process.communicate("close\n", timeout=DEADLINE_S)
        finally:
            own_libvirtd.send(signal.SIGCONT)
            process.kill()
    assert (said, process.returncode) == ("closed\n", 0)
