"""The usage of a booted guest on a real LXD: at rest, then with a loop that never waits."""

from __future__ import annotations

from pathlib import Path

from rackd.drivers.lxd.driver import LxdDriver
from rackd.usage.history import HostHistory
from tests.lab.libvirt.test_usage import EVERY_S, LITTLE, LOOP_SEEN_WITHIN_S, MOST, cores_used
from tests.lab.lxd.test_lxd_disks_in_guest import address_of, answering, driver, server, started
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.guest_image import BOOT_S, SshKey
from tests.support.waiting import eventually

__all__ = ["driver", "server"]  # fixtures
CACHED_S = 8.0  # LXD answers with metrics of up to so long ago
LOOP = "nohup sh -c 'while :; do :; done' >/dev/null 2>&1 &"


async def test_usage_follows_a_busy_loop_in_a_guest_of_lxd(
    tmp_path: Path,
    server: LxdServer,
    driver: LxdDriver,  # fixtures
) -> None:
    key, history = SshKey(tmp_path), HostHistory(1)
    guest = started(server, driver, key)
    address = await address_of(server, guest)
    await answering(key, address)

    def rests() -> bool:
        used = cores_used(driver, history, guest)
        return used is not None and used < LITTLE

    await eventually(rests, deadline_s=BOOT_S, every_s=CACHED_S + EVERY_S)
    await key.run(address, LOOP)
    await eventually(
        lambda: (cores_used(driver, history, guest) or 0.0) > MOST, deadline_s=LOOP_SEEN_WITHIN_S, every_s=EVERY_S
    )
    assert history.newest is not None
    assert "cpu_cores" in history.newest.summed
