"""Fills a region with one of each thing, and with VMs in every state, for the database that is kept of a release."""

from __future__ import annotations

import hashlib
from typing import Any

from regiond.machines.values.states import MachineState
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment

SIZE: dict[str, Any] = {"cores": 1, "memory": 1024, "storage": "root:2"}
PASSWORD = "vault-orbit-kettle-91"  # noqa: S105
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPXOEnkBQ9IXNNUESHJ8sIDLxyMhRZt0SV3OYX0OTiG8 mira@laptop"


async def fill(region: Deployment) -> None:
    """Needs a running rack, and leaves an operation open: the host `cow` does not answer it before the block ends."""
    await _shared(region)
    hosts = {name: await region.add_simulated(name, cores=64, memory_mib=131072) for name in ("ant", "bee", "cow")}
    await region.put(f"vm-hosts/{hosts['bee']['id']}/", zone="east", tags="fast,edge")
    await _machines(region, hosts["ant"]["id"])
    await _people(region)
    await region.add_simulated("foreign", guests=2)
    await region.post(f"vm-hosts/{hosts['bee']['id']}/", op="maintenance", reason="new disks")
    await region.fetch(_LATER_STATES, [one.value for one in MachineState])


async def _shared(region: Deployment) -> None:
    await region.post("zones/", name="east", description="The eastern room")
    await region.post("resourcepools/", name="staging")
    await region.post("tags/", name="fast", comment="has local flash")
    await region.post("fabrics/", name="lab")
    await region.post("spaces/", name="lab")
    await region.post("subnets/", cidr="10.20.10.0/24", name="lab")
    await region.post("ipranges/", type="reserved", start_ip="10.20.10.90", end_ip="10.20.10.99", comment="printers")
    await region.post("domains/", name="lab.example")
    await region.post("dnsresources/", fqdn="www.lab.example", ip_addresses="10.20.10.7 fd00::7")
    device = await region.post("devices/", hostname="printer", mac_addresses="52:54:00:aa:00:01")
    nic = f"nodes/{device['system_id']}/interfaces/eth0/"
    await region.post(nic, op="link_subnet", mode="AUTO", subnet="10.20.10.0/24")
    sha256 = hashlib.sha256(b"image").hexdigest()
    await region.post("boot-resources/", name="custom/half", architecture="amd64", sha256=sha256, size=5)


async def _machines(region: Deployment, host: int) -> None:
    for state in MachineState:
        await region.compose(host, hostname=f"vm-{state.value.replace('_', '-')}", **SIZE)
    await region.compose(host, hostname="running", **SIZE)
    running = next(one for one in await region.get("machines/") if one["hostname"] == "running")
    await region.post(f"machines/{running['system_id']}/", op="power_on")
    await region.put(f"machines/{running['system_id']}/", description="Runs the tests", tags="fast")
    await region.post("machines/", op="allocate", name="vm-ready", agent_name="juju")
    gone = await region.compose(host, hostname="gone", **SIZE)
    await region.delete(f"machines/{gone['system_id']}/")
    refused = await region.send("POST", f"vm-hosts/{host}/", op="compose", fields={**SIZE, "cores": 1}, headers=ASYNC)
    await region.ended(refused.json()["id"])


async def _people(region: Deployment) -> None:
    await region.post("users/", username="ann", password=PASSWORD, email="ann@example.net")
    await region.post("users/", username="bob", password=PASSWORD, is_admin="true")
    await region.post("resourcepool/0/", op="grant", user="ann", role="operator")
    await region.post("quotas/", pool="default", cores=100)
    await region.post("quotas/", user="ann", machines=3)
    await region.post("account/prefs/sshkeys/", key=SSH_KEY)
    await region.post("racks/", op="token")


# No request leads to these without a guest that fails, reports or is lost; claims and guests stay as composed.
_LATER_STATES = """
    update machine set state = replace(substr(hostname, 4), '-', '_'),
           missing_since = case when hostname = 'vm-missing' then now() end,
           error_description = case when hostname = 'vm-broken' then 'smells of smoke' else '' end
     where hostname like 'vm-%' and replace(substr(hostname, 4), '-', '_') = any($1::text[]) and hostname <> 'vm-ready'
"""
