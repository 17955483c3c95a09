"""A deployed guest on libvirt, its clones and what is imported of its file, all booted.

The clones are other machines, with identities of their own, and the imported one is the one that was exported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.libvirt_network import SUBNET, lab_network
from tests.lab.support.deployed_guest import deploy, guest_bridge, links_of
from tests.lab.support.deployed_host import add_libvirt
from tests.lab.support.guest_image import BOOT_S, SshKey, upload_image
from tests.support.waiting import eventually

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


async def cloned(innkeeper: Deployment, source: str, hostname: str, *, count: int) -> list[Any]:
    """Returns the clones, which are made by one request."""
    await innkeeper.post(source, op="clone", hostname=hostname, count=count)
    names = {f"{hostname}-{number}" for number in range(1, count + 1)}

    async def made() -> list[Any]:
        machines = await innkeeper.get("machines/")
        found = [one for one in machines if one["hostname"] in names and one["status_name"] == "Deployed"]
        return found if len(found) == count else []

    return sorted(await eventually(made, deadline_s=BOOT_S, every_s=1.0), key=lambda one: str(one["hostname"]))


async def exported(innkeeper: Deployment, machine: Any) -> Any:
    made = await innkeeper.post(f"machines/{machine['system_id']}/", op="export")

    async def ready() -> Any:
        found = await innkeeper.get(f"exports/{made['id']}/")
        return found if found["state"] in {"ready", "failed"} else None

    found = await eventually(ready, deadline_s=BOOT_S, every_s=1.0)
    assert found["state"] == "ready", found["error"]
    return found


async def check_import(innkeeper: Deployment, host: Any, key: SshKey, machine: Any, facts: list[str]) -> None:
    """The file of the guest, which is off, becomes another machine, whose system is the one that was exported."""
    (static, _), name = links_of(machine), f"{machine['hostname']}-again"
    file = await exported(innkeeper, machine)
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    new = await innkeeper.post(
        f"vm-hosts/{host['id']}/", op="import", export=file["id"], hostname=name, keep_mac_addresses="true",
        power_on="true",
    )  # fmt: skip
    await answering(key, static[1] or "", machine["hostname"])  # its system knows nothing of its other name
    assert await facts_of(key, static[1] or "") == facts
    found = await innkeeper.get(f"machines/{new['system_id']}/")
    assert (found["hostname"], found["power_state"]) == (name, "on")
    assert [one["size"] for one in found["blockdevice_set"]] == [one["size"] for one in machine["blockdevice_set"]]


async def test_clones_of_a_guest_are_others_and_an_import_is_the_same(
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

            found = [first]
            for copy in await cloned(innkeeper, path, f"{lab_host.prefix}copy", count=2):
                (static, _) = links_of(copy)
                assert static[0] == "static"
                address = static[1] or ""
                await innkeeper.post(f"machines/{copy['system_id']}/", op="power_on")
                await answering(key, address, copy["hostname"])
                found.append(await facts_of(key, address))
                assert found[-1][0] == copy["hostname"]
                assert found[-1][4] == "it was here"
                assert len(found[-1][1]) == 32
                assert await key.run(address, "journalctl --boot --lines 1 --quiet --output cat | wc -l") == "1\n"
                await innkeeper.post(f"machines/{copy['system_id']}/", op="power_off", stop_mode="hard")
            for facts in zip(*(one[:4] for one in found), strict=True):
                assert len(set(facts)) == len(found), found
            assert len({one[3].split(",")[-1] for one in found}) == len(found), "addresses that the host gave"

            await check_import(innkeeper, host, key, machine, first)
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
            assert await innkeeper.ledger_problems() == []
            assert await innkeeper.discrepancies() == []
