"""Faults are made for real: these tests kill processes in the middle of their work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.lxd_server import LxdServer, lab_server, why_no_lxd

if TYPE_CHECKING:
    from tests.faults.daemons import Daemons

HERE = Path(__file__).parent
PREFIX = "ikkill-"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.fault)


@pytest.fixture
def daemons(tmp_path: Path, server_folder: Path) -> Iterator[Daemons]:
    from tests.faults.daemons import Daemons  # it imports the reactor, which pytest installs after this file

    made = Daemons(folder=tmp_path, server_folder=server_folder)
    yield made
    made.stop()


@pytest.fixture
def lxd() -> Iterator[LxdServer]:
    """A real LXD server; what is named with PREFIX, and whoever came to be trusted, is removed after the test."""
    if (why := why_no_lxd()) is not None:
        pytest.skip(why)
    server = lab_server()
    before = server.trusted()
    yield server
    server.sweep(PREFIX)
    for found in server.trusted() - before:
        server.ask(f"/1.0/certificates/{found}", method="DELETE")
