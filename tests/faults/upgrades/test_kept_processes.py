"""Rack and region of each kept release work with this build's region and rack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.deployment import Deployment
from tests.deployment.processes import as_processes
from tests.deployment.runner import RACK
from tests.releases.kept import KEPT, Kept


@pytest.fixture(params=KEPT, ids=str)
def kept(request: pytest.FixtureRequest) -> Kept:
    found: Kept = request.param
    return found


@pytest.fixture
def older_rack(kept: Kept, tmp_path: Path, server_folder: Path) -> Iterator[Deployment]:
    build = kept.unpack(tmp_path / "build")
    made = as_processes(folder=tmp_path, server_folder=server_folder, rack_build=build)
    yield made
    made.processes.kill_all()


@pytest.fixture
def older_region(kept: Kept, tmp_path: Path, server_folder: Path) -> Iterator[Deployment]:
    build = kept.unpack(tmp_path / "build")
    made = as_processes(folder=tmp_path, server_folder=server_folder, region_build=build)
    yield made
    made.processes.kill_all()


async def whole_life(deployment: Deployment) -> None:
    """Composes a VM, starts it, refreshes its host, stops and deletes it."""
    host = await deployment.add_simulated("ant")
    await deployment.compose(host["id"], hostname="vm", cores=1, memory=1024)
    (machine,) = await deployment.get("machines/")
    path = f"machines/{machine['system_id']}/"
    await deployment.post(path, op="power_on")
    assert deployment.simulated("ant").guest_names() == ["vm"]
    assert await deployment.refreshed(host["id"])
    assert (await deployment.get(path))["power_state"] == "on"
    await deployment.post(path, op="power_off")
    await deployment.delete(path)
    assert deployment.simulated("ant").guest_names() == []
    assert await deployment.get("discrepancies/") == []  # found by the region: an older one has another schema


async def release_of_rack(deployment: Deployment) -> str:
    (rack,) = await deployment.get("racks/")
    return str(rack["release"])


async def test_a_kept_rack_serves_this_region(older_rack: Deployment, kept: Kept) -> None:
    await older_rack.start()
    assert await release_of_rack(older_rack) == kept.number
    await whole_life(older_rack)
    await older_rack.stop_rack(RACK)


async def test_this_rack_serves_a_kept_region(older_region: Deployment, kept: Kept) -> None:
    await older_region.start()
    (region,) = await older_region.get("regions/")
    assert region["release"] == kept.number
    assert await release_of_rack(older_region) != kept.number
    await whole_life(older_region)
