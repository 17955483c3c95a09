"""Each fault of each link, before and during an operation: nothing hangs, nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.network.cases import LIMITS, Case, cases
from tests.faults.network.hosts import LibvirtGuests, SimulatedGuests, libvirt_server
from tests.faults.network.site import Link, Site, wired_site
from tests.faults.network.trial import Trial, record
from tests.faults.network.wire import Fault
from tests.lab.servers.own_libvirtd import why_no_own_libvirtd
from tests.lab.servers.own_sshd import why_no_own_sshd
from tests.support.waiting import eventually, settle

_WAITING_DUMP = "select from pg_stat_activity where application_name = 'pg_dump' and wait_event_type = 'Lock'"
RESULTS = Path(__file__).parents[3] / "var" / "faults"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, module_server_folder: Path) -> Iterator[Site]:
    """One for all cases of a worker, each of which leaves it as it was: `region check` finds nothing at the end."""
    with wired_site(tmp_path_factory.mktemp("site"), module_server_folder) as site:
        settle(site.deployment.start())
        yield site
        assert settle(ended(site, "check")) == (0, "")


@pytest.fixture(scope="module")
def simulated(site: Site) -> SimulatedGuests:
    return settle(SimulatedGuests.add(site.deployment))


@pytest.fixture(scope="module")
def libvirt(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtGuests]:
    if (why := why_no_own_libvirtd() or why_no_own_sshd()) is not None:
        pytest.skip(why)
    with libvirt_server(tmp_path_factory.mktemp("libvirt"), site) as (daemon, sshd, lab_host):
        yield settle(LibvirtGuests.add(site.deployment, daemon, sshd, lab_host))


@pytest.mark.parametrize("case", list(cases(Link.DATABASE, Link.RACK)), ids=str)
async def test_a_fault_between_daemons(site: Site, simulated: SimulatedGuests, case: Case) -> None:
    record(await Trial(site=site, host=simulated, case=case).run(), RESULTS)


@pytest.mark.parametrize("case", list(cases(Link.HOST)), ids=str)
async def test_a_fault_between_rack_and_host(site: Site, libvirt: LibvirtGuests, case: Case) -> None:
    record(await Trial(site=site, host=libvirt, case=case).run(), RESULTS)


async def test_a_backup_ends_when_the_network_to_the_database_dies(site: Site, tmp_path: Path) -> None:
    """The lock makes pg_dump wait at a known place, silently, as it does while the server works."""
    async with site.deployment.connection() as db:
        transaction = db.transaction()
        await transaction.start()
        await db.execute("lock table zone in access exclusive mode")
        backup = await run(site, "backup", str(tmp_path / "saved"))
        await eventually(partial(site.deployment.fetch, _WAITING_DUMP))
        with site.wires[Link.DATABASE].faulty(Fault.BLACK_HOLE):
            errors = (await asyncio.wait_for(backup.communicate(), LIMITS.answered_s))[1].decode()
        await transaction.rollback()
    assert backup.returncode != 0
    assert "pg_dump failed" in errors
    assert "timed out" in errors.lower()
    assert os.listdir(tmp_path) == []


async def run(site: Site, *arguments: str) -> asyncio.subprocess.Process:
    """A command of the region's computer."""
    processes = site.deployment.processes
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "regiond", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**processes.environment(), **processes.region_environment(), "BACKUP_PASSPHRASE": "a long pass phrase"},
    )  # fmt: skip


async def ended(site: Site, *arguments: str) -> tuple[int | None, str]:
    """Status and errors of such a command."""
    process = await run(site, *arguments)
    errors = (await process.communicate())[1].decode()
    return process.returncode, errors
