"""A region's listener, the racks of a region's database, and LXD servers that every rack of a test reaches.

Imports of the daemons are in the fixtures: this file is read before pytest installs its reactor.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import settle

if TYPE_CHECKING:
    from regiond.db.pool import Database
    from regiond.racks.enrolment.admission import Admission
    from regiond.racks.enrolment.authority import Authority
    from regiond.racks.enrolment.rpc_clients import RpcClients
    from regiond.racks.reach.heartbeat import Heartbeat
    from regiond.racks.reach.service import RackReach
    from regiond.racks.service import Racks
    from tests.doubles.lxd_double import FakeLxd, FakeLxds
    from tests.integration.support.ledger_fixture import LedgerFixture
    from tests.integration.support.rigs.linked import Region


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    """A region's listener, without a database."""
    from tests.integration.support.rigs.linked import make_region

    listening = make_region(tmp_path / "authority")
    yield listening
    settle(listening.listener.stop())


@pytest.fixture
def ledger(database: Database) -> LedgerFixture:
    """A server with two hosts and without claims."""
    from tests.integration.support.ledger_fixture import prepare

    return settle(prepare(database))


@pytest.fixture
def heartbeat(database: Database) -> Iterator[Heartbeat]:
    from regiond.racks.reach.heartbeat import Heartbeat

    started = Heartbeat(database, hostname="region-1", pid=1)
    settle(started.start())
    yield started
    settle(started.stop())


@pytest.fixture
def stopped_request_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions whose buckets of requests never refill, however long the requests of the test take."""
    from regiond.requests.request_limits import RequestLimits
    from regiond.wiring import accounts

    monkeypatch.setattr(accounts, "RequestLimits", partial(RequestLimits, clock=lambda: 0.0))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    from regiond.racks.enrolment.authority import Authority

    return Authority.open(tmp_path / "authority")


@pytest.fixture
def racks(database: Database, heartbeat: Heartbeat, authority: Authority) -> Racks:
    from regiond.credentials.seal import MasterKey
    from regiond.credentials.service import Credentials
    from regiond.hosts.trust.exposed_credentials import ExposedCredentials
    from regiond.racks.service import Racks
    from tests.support.administrators import add_administrator

    settle(add_administrator(database))
    return Racks(
        database, authority, heartbeat.region_id, token_text=lambda secret: f"token:{secret}",
        exposure=ExposedCredentials(Credentials(MasterKey.random())),
    )  # fmt: skip


@pytest.fixture
def rpc_clients(database: Database, authority: Authority) -> RpcClients:
    from regiond.racks.enrolment.rpc_clients import RpcClients

    return RpcClients(database, authority)


@pytest.fixture
def admission(database: Database, rpc_clients: RpcClients) -> Admission:
    from regiond.racks.enrolment.admission import Admission

    return Admission(database, rpc_clients)


@pytest.fixture
def reach(database: Database, heartbeat: Heartbeat) -> RackReach:
    from regiond.racks.reach.service import RackReach

    return RackReach(database, heartbeat.region_id)


@pytest.fixture
def lxds(tmp_path: Path) -> FakeLxds:
    """LXD servers that the racks of `innkeeper` reach; a test adds them."""
    from tests.doubles.lxd_double import FakeLxds

    return FakeLxds(tmp_path / "simulated")


@pytest.fixture
def server(lxds: FakeLxds) -> FakeLxd:
    """The LXD server `lxd1`."""
    from tests.doubles.lxd_double import FakeLxd

    created = FakeLxd(name="lxd1")
    lxds.add(created)
    return created
