"""Racks of one region's database, and LXD servers that every rack of a test reaches.

Imports of the daemons are in the fixtures: this file is read before pytest installs its reactor.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.waiting import settle

if TYPE_CHECKING:
    from regiond.db.pool import Database
    from regiond.racks.presence import Presence
    from regiond.racks.service import Racks
    from tests.integration.lxd_hosts import Lxds
    from tests.lxd_double import FakeLxd, FakeLxds


@pytest.fixture
def presence(database: Database) -> Iterator[Presence]:
    from regiond.racks.presence import Presence

    made = Presence(database, hostname="region-1", pid=1)
    settle(made.start())
    yield made
    settle(made.stop())


@pytest.fixture
def racks(database: Database, presence: Presence, tmp_path: Path) -> Racks:
    from regiond.accounts.service import Accounts
    from regiond.racks.authority import Authority
    from regiond.racks.service import Racks

    settle(Accounts(database).ensure_admin())
    return Racks(
        database, Authority.open(tmp_path / "authority"), presence, token_text=lambda secret: f"token:{secret}"
    )


@pytest.fixture
def lxds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lxds:
    """Servers that every rack of the test reaches; their rack has no other driver."""
    from common.values import DriverType
    from rackd.drivers.registry import Drivers
    from tests.lxd_double import FakeLxds

    def make(*servers: FakeLxd) -> FakeLxds:
        made = FakeLxds(tmp_path / "simulated", *servers)
        monkeypatch.setattr("rackd.service.make_drivers", lambda _: Drivers({DriverType.LXD: made}, absent={}))
        return made

    return make
