"""The Debian packages on machines that booted: installed by the guides, rebooted, lost, restored, upgraded and purged.

Everything on the machines is emulated. build/systemd-transcript.txt has the minutes of each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages.blocks import CHECKOUT
from tests.systemd.administrator import Administrator
from tests.systemd.backup_files import BackupFiles
from tests.systemd.guest import DebianGuest
from tests.systemd.steps import (
    back_up,
    install,
    purge,
    reads_its_metrics,
    restarts_and_reloads,
    restore,
    serves,
    set_up,
    survives_a_reboot,
    upgrade,
)
from tests.systemd.transcript import Transcript

pytestmark = [pytest.mark.lab]


@pytest.fixture
def transcript() -> Transcript:
    return Transcript(CHECKOUT / "build/systemd-transcript.txt")


@pytest.fixture
def first(packages: Path, tmp_path: Path) -> Iterator[DebianGuest]:
    guest = DebianGuest(tmp_path / "first", packages)
    yield guest
    guest.lose()


@pytest.fixture
def second(packages: Path, tmp_path: Path) -> Iterator[DebianGuest]:
    guest = DebianGuest(tmp_path / "second", packages)
    yield guest
    guest.lose()


@pytest.mark.deadline(6 * 3600)
async def test_packages_serve_and_a_lost_machine_is_restored(
    first: DebianGuest, second: DebianGuest, transcript: Transcript
) -> None:
    with transcript.step("boot a new Debian 12", first.cpu_s):
        await first.start()
    saved = await use(Administrator(first, transcript))
    with transcript.step("lose the machine, and boot another", second.cpu_s):
        first.lose()
        await second.start()
    admin = Administrator(second, transcript)
    with admin.step("install the packages and PostgreSQL"):
        install(admin)
        admin.types("apt-get install postgresql")
    with admin.step("restore the backup"):
        await restore(admin, saved)
    with admin.step("upgrade to a later build"):
        await upgrade(admin)
    with admin.step("purge"):
        purge(admin)


async def use(admin: Administrator) -> BackupFiles:
    """Follows the guides on the first machine, and returns its backup."""
    with admin.step("install the packages"):
        install(admin)
    with admin.step("set up the region"):
        set_up(admin, "Region")
    with admin.step("set up the rack, compose a VM and start it"):
        set_up(admin, "Rack")
    with admin.step("check the services and their journal"):
        serves(admin)
    with admin.step("read the metrics"):
        reads_its_metrics(admin)
    with admin.step("back up"):
        saved = back_up(admin)
    with admin.step("reload, and kill the daemons"):
        await restarts_and_reloads(admin)
    with admin.step("reboot"):
        await survives_a_reboot(admin)
    return saved
