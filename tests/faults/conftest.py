"""These tests kill real processes and fill real disks; all are marked `fault`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.servers.every_product import parametrize, server_of
from tests.lab.servers.lxd_server import LxdServer

if TYPE_CHECKING:
    from tests.deployment.deployment import Deployment

PREFIX = "ikkill-"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/faults/"):
            item.add_marker(pytest.mark.fault)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc)


@pytest.fixture
def deployment(tmp_path: Path, server_folder: Path) -> Iterator[Deployment]:
    from tests.deployment.processes import as_processes

    made = as_processes(folder=tmp_path, server_folder=server_folder)
    yield made
    made.processes.kill_all()


@pytest.fixture
def lxd(request: pytest.FixtureRequest) -> Iterator[LxdServer]:
    """A real server; names with PREFIX and newly trusted certificates are removed after the test."""
    server = server_of(request)
    before = server.trusted()
    yield server
    server.sweep(PREFIX)
    for found in server.trusted() - before:
        server.ask(f"/1.0/certificates/{found}", method="DELETE")
