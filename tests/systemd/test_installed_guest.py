"""The Debian packages on a Debian 12 that booted: installed by the guide, rebooted, upgraded and purged.

Everything on the machine is emulated: some twenty minutes of CPU. build/systemd-transcript.txt has the minutes of each
step.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages.blocks import CHECKOUT
from tests.systemd.administrator import UNITS, Administrator
from tests.systemd.guest import PACKAGES, DebianGuest
from tests.systemd.transcript import Transcript

pytestmark = [pytest.mark.lab]

INSTALL = "docs/how-to/install.md"
MOST_EXPOSED = 1.1  # as docs/explanation/security.md says


@pytest.fixture
def transcript() -> Transcript:
    return Transcript(CHECKOUT / "build/systemd-transcript.txt")


@pytest.fixture
def first(packages: Path, tmp_path: Path) -> Iterator[DebianGuest]:
    guest = DebianGuest(tmp_path / "first", packages)
    yield guest
    guest.lose()


@pytest.mark.deadline(4 * 3600)
async def test_packages_serve_under_systemd(first: DebianGuest, transcript: Transcript) -> None:
    with transcript.step("boot a new Debian 12", first.cpu_s):
        await first.start()
    admin = Administrator(first, transcript)
    with transcript.step("install the packages", first.cpu_s):
        install(admin)
    with transcript.step("set up the region", first.cpu_s):
        admin.follows(INSTALL, "Region")
    with transcript.step("set up the rack, compose a VM and start it", first.cpu_s):
        admin.follows(INSTALL, "Rack")
    serves(admin)


def install(admin: Administrator) -> None:
    """Both daemons are installed, confined as stated, and wait for their settings."""
    admin.enters(f"{PACKAGES}/now")
    admin.follows(INSTALL, "From packages")
    admin.enters("/root")
    assert admin.states_of("is-enabled") == dict.fromkeys(UNITS, "disabled")
    assert admin.states_of("is-active") == dict.fromkeys(UNITS, "inactive")
    assert admin.types("dpkg --verify innkeeper innkeeper-region innkeeper-rack") == ""
    assert max(admin.exposures().values()) <= MOST_EXPOSED


def serves(admin: Administrator) -> None:
    """Region and rack are active, the VM runs, and the journal has no warning."""
    assert admin.states_of("is-active") == dict.fromkeys(UNITS, "active")
    (host,) = admin.asks("vm-hosts read")
    assert (host["name"], host["state"], host["problems"]) == ("local", "ready", [])
    (machine,) = admin.asks("machines read")
    assert (machine["hostname"], machine["status_name"], machine["power_state"]) == ("web-1", "Ready", "on")
    assert admin.asks("region check") == []
    assert admin.troubles() == []
