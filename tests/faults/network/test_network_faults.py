"""Each fault of each link, before and during an operation: nothing hangs, nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.network.cases import Case, cases
from tests.faults.network.hosts import SimulatedGuests
from tests.faults.network.site import Link, Site, wired_site
from tests.faults.network.trial import Trial, record
from tests.waiting import settle

RESULTS = Path(__file__).parents[3] / "var" / "faults"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, module_server_folder: Path) -> Iterator[Site]:
    """One for all cases, each of which leaves it as it was."""
    with wired_site(tmp_path_factory.mktemp("site"), module_server_folder) as site:
        settle(site.deployment.start())
        yield site


@pytest.fixture(scope="module")
def simulated(site: Site) -> SimulatedGuests:
    return settle(SimulatedGuests.add(site.deployment))


@pytest.mark.parametrize("case", list(cases(Link.DATABASE, Link.RACK)), ids=str)
async def test_a_fault_between_daemons(site: Site, simulated: SimulatedGuests, case: Case) -> None:
    record(await Trial(site=site, host=simulated, case=case).run(), RESULTS)


async def test_the_command_check_finds_nothing_after_the_faults(site: Site) -> None:
    processes = site.deployment.processes
    environment = {**os.environ, **processes.environment(), **processes.region_environment()}
    check = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "regiond", "check", env=environment, stderr=subprocess.PIPE
    )
    errors = (await check.communicate())[1].decode()
    assert check.returncode == 0, errors
