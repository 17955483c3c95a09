"""A region with a certificate of its own, and what it refuses to do without one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import BadSettings, InnkeeperError, TooManyAttempts
from common.process.systemd_notify import ServiceManager
from innkeeper import rpc
from innkeeper.http import Api
from innkeeper.local_region import local_profile
from regiond.commands.admin_commands import check
from regiond.db.pool import Database
from regiond.https import service as https_service
from regiond.process.settings import RegionSettings
from regiond.service import RegionService
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.rpc.test_rpc_misuse import address_of, issue
from tests.support.administrators import add_administrator
from tests.support.certificate_pairs import make_pair
from tests.support.waiting import eventually, settle
from tests.unit.command.processes import INNKEEPER, spawned


@pytest.fixture
def region(tmp_path: Path, database_url: str) -> Iterator[Deployment]:
    certificate, key = make_pair().write(tmp_path / "tls")
    running = deployed(tmp_path, database_url, tls_certificate=certificate, tls_key=key)
    yield settle(running.__aenter__())
    settle(running.__aexit__(None, None, None))


def _local(region: Deployment) -> Api:
    state = region.in_process.settings.state
    profile = local_profile({"INNKEEPER_STATE": str(state)})
    assert profile is not None
    return Api.of(profile)


async def test_a_region_serves_https_and_its_computer_knows_it(region: Deployment) -> None:
    assert region.region.api_url.startswith("https://127.0.0.1:")
    assert (await _local(region).get("users/", op="whoami")).json()["username"] == "admin"
    services = region.region.components
    assert services.addresses.public_url().startswith("https://")


@pytest.mark.slow
async def test_commands_about_the_region_use_what_the_profile_trusts(region: Deployment, tmp_path: Path) -> None:
    state = str(region.in_process.settings.state)
    for words in (["check"], ["audit", "export"]):
        ran = await spawned(tmp_path, *INNKEEPER, "region", *words, INNKEEPER_STATE=state)
        _, errors = await ran.communicate()
        assert (ran.returncode, errors) == (0, b"")


async def test_commands_on_its_computer_know_a_renewed_certificate(region: Deployment) -> None:
    https = region.region.components.https
    assert https is not None
    before = _local(region)
    pair = make_pair()
    pair.write(region.folder / "tls")
    await https.check()
    stored = json.loads((region.in_process.settings.state / "local.json").read_text())
    assert stored["fingerprint"] == pair.fingerprint
    assert (await _local(region).get("users/", op="whoami")).json()["username"] == "admin"
    with pytest.raises(InnkeeperError, match="If the server has a new certificate"):
        await before.get("users/", op="whoami")


async def test_the_check_command_reports_a_bad_pair(region: Deployment) -> None:
    settings = region.in_process.settings
    assert await check(settings) == []
    (region.folder / "tls" / "key.pem").write_bytes(make_pair().key_pem)
    (problem,) = await check(settings)
    assert "not for this private key" in problem


@pytest.mark.usefixtures("stopped_request_limits")
async def test_too_many_requests_get_429(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, expensive_requests_per_s=1, anonymous_requests_per_s=1) as region:
        for _ in range(10):
            await region.get("vm-hosts/")
        with pytest.raises(InnkeeperError, match="setting expensive_requests_per_s") as error:
            await region.get("vm-hosts/")
        assert error.value.details["status"] == 429
        unsigned = Api(region.api.url, None)
        for _ in range(10):
            await unsigned.get("version/")
        with pytest.raises(InnkeeperError, match="setting anonymous_requests_per_s"):
            await unsigned.get("version/")
        await region.get("users/", op="whoami")


@pytest.mark.usefixtures("stopped_request_limits")
async def test_an_rpc_client_shares_the_limits_of_its_account(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, expensive_requests_per_s=1) as region:
        folder = await issue(region, "robot")
        async with rpc.connect(address_of(region), folder=folder) as client:
            for _ in range(5):
                await client.hosts()
                await region.get("vm-hosts/")
            with pytest.raises(TooManyAttempts, match="setting expensive_requests_per_s") as error:
                await client.hosts()
            assert error.value.details["retry_after_s"] >= 1


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.0.2.7", "region.example.net"])  # noqa: S104  # not bound
def test_plain_http_for_other_computers_is_refused(host: str) -> None:
    with pytest.raises(BadSettings, match=r"tls_certificate and tls_key.*http_host to 127\.0\.0\.1.*allow_plain_http"):
        RegionSettings(http_host=host).check()
    RegionSettings(http_host=host, allow_plain_http=True).check()
    RegionSettings(http_host=host, tls_certificate=Path("c"), tls_key=Path("k")).check()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_plain_http_on_this_computer_is_allowed(host: str) -> None:
    RegionSettings(http_host=host).check()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tls_certificate": Path("c")}, "tls_certificate is set and tls_key is not"),
        ({"tls_key": Path("k")}, "tls_key is set and tls_certificate is not"),
        ({"trusted_proxies": ("10.0.0.300",)}, "trusted_proxies: '10.0.0.300'"),
        ({"rate_limit_exempt": ("10.0.0.1/8",)}, "rate_limit_exempt: 10.0.0.1/8 has host bits set"),
    ],
)
def test_settings_that_contradict_each_other_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSettings, match=message):
        RegionSettings(**wrong).check()


@pytest.mark.slow
async def test_sighup_reads_the_certificate_again(
    tmp_path: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https_service, "CHECK_EVERY_S", 3600.0)  # so that it is the signal that has it read
    await add_administrator(database)  # `local.json` has the key of one
    certificate, key = make_pair().write(tmp_path / "tls")
    settings = RegionSettings(
        database=database_url,
        state=tmp_path / "region",
        http_port=0,
        rpc_port=0,
        metrics_host="",
        tls_certificate=certificate,
        tls_key=key,
    )
    serving = asyncio.create_task(RegionService(settings, ServiceManager({})).serve())

    def fingerprint() -> str:
        try:
            found: str = json.loads((settings.state / "local.json").read_text())["fingerprint"]
        except FileNotFoundError:
            return ""
        return found

    try:
        await eventually(fingerprint)
        await eventually(lambda: signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL)
        pair = make_pair()
        pair.write(tmp_path / "tls")
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: fingerprint() == pair.fingerprint)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
