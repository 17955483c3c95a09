"""The host of a contract test: opened before the test, cleaned up and closed after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.driver_fixtures import DriverFixture, MakeFixture


@pytest.fixture
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DriverFixture]:
    make: MakeFixture = request.param
    opened = make(tmp_path)
    yield opened
    opened.close()
