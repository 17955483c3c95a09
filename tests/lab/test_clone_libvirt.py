"""A deployed guest on libvirt and its clone, which is booted: another machine, with an identity of its own."""

from __future__ import annotations

from pathlib import Path

from common.errors import InnkeeperError
from tests.deployment.in_process import deployed
from tests.lab.deployed_guest import deploy, guest_bridge, links_of
from tests.lab.deployed_host import add_libvirt
from tests.lab.guest_image import BOOT_S, SshKey, upload_image
from tests.lab.lab_host import LabHost
from tests.lab.libvirt_network import SUBNET, lab_network
from tests.waiting import eventually

_FACTS = (
    "hostname",
    "cat /etc/machine-id",
    "cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub",
    "ip -br -4 address show scope global | awk '{print $3}' | paste -sd,",
    "sudo cat /etc/kept",
)


async def facts_of(key: SshKey, address: str) -> list[str]:
    return (await key.run(address, " && ".join(_FACTS))).splitlines()


async def answering(key: SshKey, address: str, hostname: str) -> None:
    """Returns when somebody can log in to this machine, whose cloud-init has ended."""

    async def answers() -> bool:
        try:
            return (await key.run(address, "cloud-init status --wait >/dev/null; hostname")).strip() == hostname
        except InnkeeperError:
            return False

    await eventually(answers, deadline_s=BOOT_S, every_s=2.0)


async def test_a_clone_of_a_deployed_guest_is_another_machine(
    tmp_path: Path, database_url: str, lab_host: LabHost
) -> None:
    key = SshKey(tmp_path)
    with lab_network(lab_host.connection), guest_bridge("10.254.17") as bridge:
        async with deployed(tmp_path, database_url, guest_url=bridge.guest_url) as innkeeper:
            await bridge.start_rack(innkeeper)
            await innkeeper.post("account/prefs/sshkeys/", key=key.public)
            await upload_image(innkeeper)
            host, name = await add_libvirt(innkeeper, lab_host), f"{lab_host.prefix}source"
            machine = await bridge.compose(innkeeper, host, name, dhcp_subnet=f"{SUBNET}.0/24")
            await innkeeper.post("ipranges/", type="reserved", start_ip=bridge.address(1), end_ip=bridge.address(9))
            path = f"machines/{machine['system_id']}/"
            await deploy(innkeeper, machine, lambda: lab_host.console(name))
            await key.run(bridge.guest_address, "echo it was here | sudo tee /etc/kept && sync")
            first = await facts_of(key, bridge.guest_address)
            await innkeeper.post(path, op="power_off")

            copy = f"{lab_host.prefix}copy"
            made = await innkeeper.post(path, op="clone", hostname=copy)
            made_path = f"machines/{made['system_id']}/"

            async def is_made() -> bool:
                return bool((await innkeeper.get(made_path))["status_name"] == "Deployed")

            await eventually(is_made, deadline_s=BOOT_S, every_s=1.0)
            (static, _) = links_of(await innkeeper.get(made_path))
            assert static[0] == "static"
            assert static[1] not in {None, bridge.guest_address}
            await innkeeper.post(made_path, op="power_on")
            await answering(key, static[1] or "", copy)
            second = await facts_of(key, static[1] or "")
            assert second[0] == copy
            assert second[4] == first[4] == "it was here"
            assert all(one != other for one, other in zip(first[:4], second[:4], strict=True)), (first, second)
            assert len(second[1]) == 32
            (source_leased, copy_leased) = (one[3].split(",")[-1] for one in (first, second))
            assert source_leased != copy_leased
            assert await key.run(static[1] or "", "journalctl --boot --lines 1 --quiet --output cat | wc -l") == "1\n"
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
            assert await innkeeper.ledger_problems() == []
            assert await innkeeper.discrepancies() == []
