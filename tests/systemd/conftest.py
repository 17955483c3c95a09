"""The Debian packages, and later ones, in the folder that a guest gets."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab.servers.needs import require
from tests.pages.fresh_machine import why_no_fresh_machine, why_no_packages
from tests.pages.packages import MAKE_LATER, packages_of


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages in `now`, and those of a later release in `later`."""
    from tests.systemd.guest import why_no_guest  # not before pytest has installed its reactor

    for why_not in (why_no_guest(), why_no_fresh_machine(), why_no_packages()):
        require(why_not)
    folder = tmp_path_factory.mktemp("packages")
    now = folder / "now"
    packages_of("bookworm", now)
    subprocess.run(["bash", "-euo", "pipefail", "-c", MAKE_LATER], cwd=now, check=True, timeout=900)
    (now / "later").rename(folder / "later")
    shutil.rmtree(now / "tree")
    return folder
