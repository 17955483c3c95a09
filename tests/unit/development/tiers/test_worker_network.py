"""A worker's network is its own: another one's interfaces are not there, and its own address answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_IN_ITS_OWN = """
import json, os, socket, subprocess
from tests.tiers import worker_network

worker_network.enter()
subprocess.run(["ip", "link", "add", "ikown0", "type", "bridge"], check=True)
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
    print(json.dumps([sorted(os.listdir("/sys/class/net")), os.path.isdir("/sys/fs/cgroup")]))
"""


_COMPARES = """
import os

def test_the_network_is_another_one():
    assert os.readlink("/proc/self/ns/net") != os.environ["NETWORK"]
"""
CHECKOUT = Path(__file__).parents[4]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for namespaces")


def test_a_worker_sees_its_own_interfaces_only() -> None:
    before, mounts = os.listdir("/sys/class/net"), Path("/proc/self/mounts").read_text()
    done = subprocess.run(
        [sys.executable, "-c", _IN_ITS_OWN],
        cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["ikown0", "lo"], True]
    assert os.listdir("/sys/class/net") == before
    assert Path("/proc/self/mounts").read_text() == mounts


@pytest.mark.parametrize(("option", "failed"), [("--own-networks", 0), ("--verbose", 1)])
def test_workers_of_pytest_have_them_on_request(tmp_path: Path, option: str, failed: int) -> None:
    (tmp_path / "test_network.py").write_text(_COMPARES)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.tiers.plugin", "-n", "1", option, str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "NETWORK": os.readlink("/proc/self/ns/net")},
    )  # fmt: skip
    assert (done.returncode, "1 passed" in done.stdout) == (failed, not failed), done.stdout + done.stderr
