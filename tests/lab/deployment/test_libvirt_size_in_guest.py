"""Cores and memory that a deployed guest on libvirt sees: those that it gets while it runs, and those of a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.libvirt_network import SUBNET, lab_network
from tests.lab.support.deployed_guest import deploy, guest_bridge
from tests.lab.support.deployed_host import add_libvirt
from tests.lab.support.guest_image import BOOT_S, SshKey, upload_image
from tests.support.waiting import eventually

KERNEL_MIB = 200  # of its memory, that a guest does not count
TAKES_S = 120.0  # what a busy emulated guest needs to take memory and to answer


async def resize(innkeeper: Deployment, path: str, **size: Any) -> Any:
    return await innkeeper.post(path, op="resize", **size)


async def test_a_deployed_guest_has_the_size_that_was_asked_for(
    tmp_path: Path, database_url: str, lab_host: LabHost
) -> None:
    key = SshKey(tmp_path)
    with lab_network(lab_host.connection), guest_bridge("10.254.13") as bridge:
        async with deployed(tmp_path, database_url, guest_url=bridge.guest_url) as innkeeper:
            await bridge.start_rack(innkeeper)
            await innkeeper.post("account/prefs/sshkeys/", key=key.public)
            await upload_image(innkeeper)
            host, name = await add_libvirt(innkeeper, lab_host), f"{lab_host.prefix}size"
            machine = await bridge.compose(
                innkeeper, host, name, dhcp_subnet=f"{SUBNET}.0/24", max_cores=2, max_memory=1536
            )
            path = f"machines/{machine['system_id']}/"
            assert (machine["max_cores"], machine["max_memory"], machine["memory"]) == (2, 1536, 1024)
            await deploy(innkeeper, machine, lambda: lab_host.console(name))

            async def cores() -> int:
                return int(await key.run(bridge.guest_address, "nproc"))

            async def memory_mib() -> int:
                text = await key.run(bridge.guest_address, "grep MemTotal /proc/meminfo")
                return int(text.split()[1]) // 1024

            async def online() -> None:
                """Switches on what the guest got: Debian leaves that to its administrator."""
                await key.run(
                    bridge.guest_address,
                    "for one in /sys/devices/system/cpu/cpu*/online /sys/devices/system/memory/memory*/online; do "
                    "echo 1 | sudo tee $one >/dev/null || true; done",
                )

            assert await cores() == 1
            before_mib = await memory_mib()
            assert 1024 - KERNEL_MIB <= before_mib <= 1024

            changed = await resize(innkeeper, path, cores=2, memory=1280)
            assert (changed["pending"], changed["cpu_count"], changed["memory"]) == (None, 2, 1280)
            await online()

            async def grown() -> bool:
                return (await cores(), await memory_mib()) == (2, before_mib + 256)

            await eventually(grown, deadline_s=TAKES_S, every_s=1.0)

            changed = await resize(innkeeper, path, cores=1, memory=1536)
            assert changed["memory"] == 1536
            if changed["pending"] is not None:
                assert changed["pending"]["cores"] == 1
            changed = await resize(innkeeper, path, cores=1, memory=1024)
            assert (changed["pending"]["memory"], changed["memory"]) == (1024, 1536)
            await innkeeper.post(path, op="power_cycle")

            async def small() -> bool:
                try:
                    return (await cores(), await memory_mib()) == (1, before_mib)
                except InnkeeperError:  # it is not up again
                    return False

            await eventually(small, deadline_s=BOOT_S, every_s=2.0)
            found = await innkeeper.get(path)
            assert (found["pending"], found["cpu_count"], found["memory"]) == (None, 1, 1024)
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
            assert await innkeeper.ledger_problems() == []
            assert await innkeeper.discrepancies() == []
