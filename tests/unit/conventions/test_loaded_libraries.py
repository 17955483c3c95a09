"""A rack without an LXD or Incus host does not load pylxd, and with it ws4py, which nobody maintains."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = "import sys, {module}; print(*sorted({{'pylxd', 'ws4py'}} & sys.modules.keys()))"


@pytest.mark.parametrize("module", ["rackd.service", "regiond.service", "innkeeper.command"])
def test_a_process_without_lxd_hosts_loads_no_pylxd(module: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", LOADED.format(module=module)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == ""
