"""libvirtd is stopped or killed during a compose and under running guests; each test starts its own libvirtd."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Sized
from functools import partial
from operator import le
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from common.errors import InnkeeperError
from tests.deployment.deployment import ENDED, Deployment
from tests.deployment.processes import as_processes
from tests.integration.support.rigs.host_restarts import LATER
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.own_libvirtd import OwnLibvirtd, why_no_own_libvirtd
from tests.postgresql.row_versions import writes_nothing
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

DELAYS_MS = (0, 5, 10, 20, 40)


@frozen(kw_only=True)
class LibvirtDeployment:
    """A deployment whose only host is a libvirtd that can be killed."""

    deployment: Deployment
    libvirtd: OwnLibvirtd
    lab_host: LabHost

    async def start(self) -> int:
        """Returns the host's id."""
        await self.deployment.start()
        ratios = {"cpu_over_commit_ratio": "10", "memory_over_commit_ratio": "10"}
        return await self.deployment.add_host(type="virsh", power_address="qemu:///system", name="lab", **ratios)

    async def begin(self, host_id: int, name: str, **more: Any) -> int:
        """Returns the operation of a compose."""
        return await self.deployment.begin_compose(
            host_id, cores=1, memory=1024, storage="1", hostname=f"{self.lab_host.prefix}{name}", **more
        )

    async def restart_libvirtd(self) -> None:
        await asyncio.to_thread(self.libvirtd.start)
        self.lab_host.connect()

    async def ended(self, operation_id: int) -> str:
        """Returns how it ended. A libvirtd that dies is started again, as by systemd: 9.0 has died of a SIGCONT."""

        async def state() -> str | None:
            if not self.libvirtd.is_running:
                await self.restart_libvirtd()
            operation = await self.deployment.get(f"operations/{operation_id}/")
            return operation["state"] if operation["state"] in ENDED else None

        return str(await eventually(state))

    def is_active(self, name: str) -> bool:
        return bool(self.lab_host.domain(f"{self.lab_host.prefix}{name}").isActive())

    async def refresh(self, host_id: int) -> None:
        await self.deployment.post(f"vm-hosts/{host_id}/", op="refresh")

    async def assert_only(self, *names: str) -> None:
        """Asserts one complete guest, volume and machine for each name, and that a refresh writes nothing."""
        full = {f"{self.lab_host.prefix}{name}" for name in names}
        machines = await self.deployment.get("machines/")
        assert {machine["hostname"] for machine in machines} == full
        assert {machine["status_name"] for machine in machines} <= {"Ready"}
        assert self.lab_host.names() == full
        trees = [self.lab_host.tree(name) for name in full]
        disks, logs = (
            {Path(found.get("file", "")).name for tree in trees for found in tree.iterfind(path)}
            for path in ("devices/disk/source", "devices/serial/log")
        )
        assert self.lab_host.volumes() == disks | logs
        assert len(disks) == len(logs) == len(full)
        for name in full:
            assert self.lab_host.marker(name) is not None
            domain = self.lab_host.domain(name)
            assert bool(domain.autostart()) == bool(domain.isActive())
        assert await self.deployment.ledger_problems() == []
        (host,) = await self.deployment.get("vm-hosts/")
        await eventually(lambda: self.refresh_writes_nothing(host["id"]))

    async def refresh_writes_nothing(self, host_id: int) -> bool:
        await self.refresh(host_id)
        return await writes_nothing(self.deployment.dsn, lambda: self.refresh(host_id))


def lives(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


@pytest.fixture
def libvirtd(tmp_path: Path) -> Iterator[OwnLibvirtd]:
    if (why := why_no_own_libvirtd()) is not None:
        pytest.skip(why)
    daemon = OwnLibvirtd(tmp_path)
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture
def libvirt(tmp_path: Path, server_folder: Path, libvirtd: OwnLibvirtd) -> Iterator[LibvirtDeployment]:
    lab_host = LabHost(tmp_path, uri=libvirtd.uri)
    deployment = as_processes(folder=tmp_path, server_folder=server_folder, rack_prefix=libvirtd.entering)
    yield LibvirtDeployment(deployment=deployment, libvirtd=libvirtd, lab_host=lab_host)
    deployment.processes.kill_all()
    if not libvirtd.is_running:
        libvirtd.start()
    lab_host.close()


def is_written(folder: Callable[[], Sized]) -> Callable[[float], bool]:
    """A check whether the folder has more entries than now."""
    before = len(folder())
    return lambda _: len(folder()) > before


async def test_a_compose_that_hangs_in_libvirtd_is_finished_by_the_next_one(libvirt: LibvirtDeployment) -> None:
    host_id = await libvirt.start()
    has_begun = is_written(libvirt.lab_host.volumes)
    operation_id = await libvirt.begin(host_id, "stuck")
    await eventually(lambda: has_begun(0), every_s=0.0)
    libvirt.libvirtd.send(signal.SIGSTOP)
    await eventually(lambda: libvirt.libvirtd.is_stopped)
    libvirt.libvirtd.kill()
    await libvirt.restart_libvirtd()
    assert await libvirt.deployment.ended(operation_id) == "succeeded"
    await libvirt.assert_only("stuck")


async def test_a_libvirtd_stopped_for_long_is_unreachable_and_then_composes(libvirt: LibvirtDeployment) -> None:
    host_id = await libvirt.start()
    libvirt.libvirtd.send(signal.SIGSTOP)
    operation_id = await libvirt.begin(host_id, "patient")

    async def waits() -> bool:
        operation = await libvirt.deployment.get(f"operations/{operation_id}/")
        return bool(operation and operation["state"] == "waiting" and operation["error"]["code"] == "host_unreachable")

    await eventually(waits)
    libvirt.libvirtd.send(signal.SIGCONT)
    assert await libvirt.ended(operation_id) == "succeeded"
    await libvirt.assert_only("patient")


async def killed_when(libvirt: LibvirtDeployment, host_id: int, name: str, is_time: Callable[[float], bool]) -> str:
    """Kills libvirtd once `is_time`, given the milliseconds since the compose began.

    Returns how the compose ended, and what existed at the kill.
    """
    operation_id = await libvirt.begin(host_id, name)
    began = time.monotonic()
    await eventually(lambda: is_time((time.monotonic() - began) * 1000), every_s=0.0)
    libvirt.libvirtd.kill()
    volumes, definitions = len(libvirt.lab_host.volumes()), len(libvirt.libvirtd.definitions())
    await libvirt.restart_libvirtd()
    state = await libvirt.deployment.ended(operation_id)
    operation = await libvirt.deployment.get(f"operations/{operation_id}/")
    return f"{state}, {operation['attempt']} attempts; {volumes} volumes and {definitions} domains existed"


async def test_a_libvirtd_killed_early_in_a_compose_leaves_one_machine(
    libvirt: LibvirtDeployment, capsys: pytest.CaptureFixture[str]
) -> None:
    host_id = await libvirt.start()
    outcomes: dict[str, str] = {}

    for delay_ms in DELAYS_MS:
        outcomes[f"ms{delay_ms}"] = await killed_when(libvirt, host_id, f"ms{delay_ms}", partial(le, delay_ms))
    for name, folder in (("volume", libvirt.lab_host.volumes), ("definition", libvirt.libvirtd.definitions)):
        outcomes[name] = await killed_when(libvirt, host_id, name, is_written(folder))
    with capsys.disabled():
        print("\nlibvirtd killed:", *(f"  {name}: {outcome}" for name, outcome in outcomes.items()), sep="\n")  # noqa: T201
    assert {outcome.split(",")[0] for outcome in outcomes.values()} == {"succeeded"}
    await libvirt.assert_only(*outcomes)


async def test_guests_run_without_libvirtd_and_are_found_again(libvirt: LibvirtDeployment) -> None:
    host_id = await libvirt.start()
    operation_id = await libvirt.begin(host_id, "runs", power_on="true")
    assert await libvirt.deployment.ended(operation_id) == "succeeded"
    (machine,) = await libvirt.deployment.get("machines/")
    path, name = f"machines/{machine['system_id']}/", f"{libvirt.lab_host.prefix}runs"
    process = libvirt.libvirtd.process_of(name)
    libvirt.libvirtd.kill()
    with pytest.raises(InnkeeperError) as refused:
        await libvirt.refresh(host_id)
    assert refused.value.details["status"] == 503
    assert libvirt.libvirtd.process_of(name) == process
    assert lives(process)
    assert (await libvirt.deployment.get(path))["power_state"] == "on"
    await libvirt.restart_libvirtd()
    assert (await libvirt.deployment.get(f"{path}?op=query_power_state"))["state"] == "on"
    assert libvirt.libvirtd.process_of(name) == process
    await libvirt.assert_only("runs")
    assert (await libvirt.deployment.post(path, op="power_off", stop_mode="hard"))["power_state"] == "off"
    await eventually(lambda: not lives(process))  # its parent reaps it a moment later
    await libvirt.deployment.delete(path)
    await libvirt.assert_only()


async def test_guests_that_died_with_their_host_run_again_and_others_stay_off(libvirt: LibvirtDeployment) -> None:
    """libvirt starts its guests once in each boot only: to it, the host did not restart."""
    host_id = await libvirt.start()
    for name, powered in (("ran", "true"), ("idle", "false")):
        operation_id = await libvirt.begin(host_id, name, power_on=powered)
        assert await libvirt.deployment.ended(operation_id) == "succeeded"
    process = libvirt.libvirtd.process_of(f"{libvirt.lab_host.prefix}ran")
    libvirt.libvirtd.kill()
    with pytest.raises(InnkeeperError):
        await libvirt.refresh(host_id)
    os.kill(process, signal.SIGKILL)
    await eventually(lambda: not lives(process))
    await libvirt.restart_libvirtd()
    await libvirt.refresh(host_id)
    assert not libvirt.is_active("ran")

    async def is_known() -> bool:
        return bool(await libvirt.deployment.fetch("select from machine where stopped_with = 'host'"))

    await eventually(is_known)
    for statement in LATER:
        await libvirt.deployment.fetch(statement, 3)
    await eventually(lambda: libvirt.is_active("ran"))
    assert not libvirt.is_active("idle")
    started = await libvirt.deployment.fetch("select hostname from operation where kind = 'power'")
    assert [row["hostname"] for row in started] == [f"{libvirt.lab_host.prefix}ran"]
