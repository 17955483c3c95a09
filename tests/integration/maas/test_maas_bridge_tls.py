"""The bridge to MAAS over TLS, in both directions: whose certificate is verified, and what is told of a wrong one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.support.rigs.maas_bridge import composed, path, pause_of, power_of
from tests.maas_api.bridge_server import KEY, RecordedMaas, serving
from tests.support.certificate_pairs import Pair, make_pair
from tests.support.rejections import rejection
from tests.support.waiting import eventually, settle

REGION_PAIR, MAAS_PAIR = make_pair(), make_pair("maas.test")


@pytest.fixture
def region(tmp_path: Path, database_url: str) -> Iterator[Deployment]:
    certificate, key = REGION_PAIR.write(tmp_path / "tls")
    running = deployed(tmp_path, database_url, tls_certificate=certificate, tls_key=key)
    innkeeper = settle(running.__aenter__())
    settle(innkeeper.start_rack())
    yield innkeeper
    settle(running.__aexit__(None, None, None))


@pytest.fixture
def maas(tmp_path: Path) -> Iterator[RecordedMaas]:
    with serving(RecordedMaas(), pair=MAAS_PAIR.write(tmp_path / "maas")) as running:
        yield running


def trusted(folder: Path, pair: Pair) -> str:
    """A file with the authority that the system of a rack of the MAAS trusts."""
    file = folder / "authorities.pem"
    file.write_bytes(pair.certificate_pem)
    return str(file)


async def test_the_certificate_of_the_maas_is_verified(region: Deployment, maas: RecordedMaas) -> None:
    add = partial(region.post, "maas-servers/", url=maas.url, key=KEY)
    assert "not signed by an authority" in (await rejection(add(name="a"))).message
    other = make_pair("other.test")
    assert "was pinned" in (await rejection(add(name="b", fingerprint=other.fingerprint))).message
    assert "not signed by an authority" in (await rejection(add(name="c", ca=other.certificate_pem.decode()))).message
    assert await region.get("maas-servers/") == []
    assert (await add(name="d", fingerprint=MAAS_PAIR.fingerprint))["fingerprint"] == MAAS_PAIR.fingerprint
    assert (await add(name="e", ca=MAAS_PAIR.certificate_pem.decode()))["has_ca"] is True


async def test_a_rack_that_trusts_the_region_switches(region: Deployment, maas: RecordedMaas, tmp_path: Path) -> None:
    maas.pause, maas.authorities = pause_of(region), trusted(tmp_path, REGION_PAIR)
    machine = await composed(region)
    await region.post("maas-servers/", name="metal", url=maas.url, key=KEY, fingerprint=MAAS_PAIR.fingerprint)
    await region.post(path(machine), op="register_in_maas", server="metal")
    await eventually(lambda: maas.is_idle)
    assert maas.problems == []
    (record,) = maas.machines.all.values()
    assert record.power["power_verify_ssl"] == "y"
    assert record.power["power_on_uri"].startswith(f"{region.region.components.addresses.public_url()}/MAAS/webhook/")
    assert await power_of(region, machine) == "on"


async def test_a_rack_that_trusts_another_does_not(region: Deployment, maas: RecordedMaas, tmp_path: Path) -> None:
    maas.pause, maas.authorities = pause_of(region), trusted(tmp_path, MAAS_PAIR)
    machine = await composed(region)
    add = partial(region.post, "maas-servers/", url=maas.url, key=KEY, fingerprint=MAAS_PAIR.fingerprint)
    await add(name="metal")
    await region.post(path(machine), op="register_in_maas", server="metal")
    await eventually(lambda: maas.is_idle)
    assert "CERTIFICATE_VERIFY_FAILED" in maas.problems[0]
    assert await power_of(region, machine) == "off"
    await region.post(path(machine), op="unregister_from_maas")
    maas.problems.clear()
    await add(name="trusting", verify_power_tls="false")
    await region.post(path(machine), op="register_in_maas", server="trusting")
    await eventually(lambda: maas.is_idle)
    assert (maas.problems, await power_of(region, machine)) == ([], "on")
