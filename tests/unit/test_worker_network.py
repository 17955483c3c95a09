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


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for namespaces")
def test_a_worker_sees_its_own_interfaces_only() -> None:
    before, mounts = os.listdir("/sys/class/net"), Path("/proc/self/mounts").read_text()
    done = subprocess.run(
        [sys.executable, "-c", _IN_ITS_OWN],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["ikown0", "lo"], True]
    assert os.listdir("/sys/class/net") == before
    assert Path("/proc/self/mounts").read_text() == mounts
