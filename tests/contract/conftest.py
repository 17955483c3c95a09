"""The host of a contract test: opened before the test, cleaned up and closed after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.support.driver_fixtures import DriverFixture, MakeFixture


_LIKE_LXD_5 = ("lxd-6-double", "incus-double")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves to a single server, and to doubles of one, what a cluster or a real host does not do differently."""
    repeated = [item for item in items if item.nodeid.startswith("tests/contract/") and _proves_nothing_more(item)]
    if repeated:
        config.hook.pytest_deselected(items=repeated)
        left_out = set(repeated)
        items[:] = [item for item in items if item not in left_out]


def _proves_nothing_more(item: pytest.Item) -> bool:
    markers = {mark.name for mark in item.iter_markers()}
    host = str(item.callspec.id) if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ""
    is_repeated = ("-cluster" in host and "clusters" not in markers) or {"lab", "doubles_suffice"} <= markers
    return is_repeated or ("one_double" in markers and any(name in host for name in _LIKE_LXD_5))


@pytest.fixture
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DriverFixture]:
    make: MakeFixture = request.param
    opened = make(tmp_path)
    yield opened
    opened.close()
