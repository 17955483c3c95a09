"""A region that has one of each thing of which there is a page, for the crawl."""

from __future__ import annotations

import hashlib
import re

from tests.browser.support.fleet import PASSWORD
from tests.browser.support.visitor import SEE_OTHER, Visitor
from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_import import begin, inventory
from tests.integration.support.adoption import adopt, refresh, rows
from tests.support.waiting import eventually

SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPXOEnkBQ9IXNNUESHJ8sIDLxyMhRZt0SV3OYX0OTiG8 mira@laptop"
LONG = "a-name-without-any-blank-at-which-a-line-could-break-0123456789"


async def furnish(admin: Visitor, fleet: Deployment) -> None:
    """Adds to the fleet what the pages list: the long names are to be seen in narrow windows."""
    await _things(fleet)
    await _one_that_is_gone(fleet)
    await _disks(fleet)
    await fleet.post("users/", username="ann", password=PASSWORD, email="ann@a-domain-with-a-long-name.example.net")
    await fleet.post("resourcepool/0/", op="grant", user="ann", role="operator")
    await fleet.post("machines/", op="allocate", name="web-1")
    await _export(fleet)
    await begin(fleet, inventory())
    await _own_things(admin)


async def _things(fleet: Deployment) -> None:
    await fleet.post("tags/", name=LONG, comment="has local flash")
    await fleet.post("domains/", name="lab.example")
    await fleet.post("dnsresources/", fqdn=f"{LONG}.lab.example", ip_addresses="10.1.0.7 fd00::7")
    device = await fleet.post("devices/", hostname=LONG, mac_addresses="52:54:00:aa:00:01", description=LONG)
    nic = f"nodes/{device['system_id']}/interfaces/eth0/"
    await fleet.post(nic, op="link_subnet", mode="AUTO", subnet="10.20.10.0/24")
    await fleet.post("ipranges/", type="reserved", start_ip="10.20.10.90", end_ip="10.20.10.99", comment=LONG)
    await fleet.post("spaces/", name="lab")
    await fleet.post("quotas/", pool="default", cores=100)
    await fleet.post("zones/", name="east", description=LONG)
    await fleet.post("resourcepools/", name="staging", description=LONG)
    sha256 = hashlib.sha256(b"image").hexdigest()
    await fleet.post("boot-resources/", name="custom/half", title=LONG, architecture="amd64", sha256=sha256, size=5)
    cedar = await fleet.add_simulated("cedar", guests=1)
    await adopt(fleet, cedar, all="true")
    await fleet.compose(fleet.hosts["birch"], hostname="late-1", cores=1, memory=1024)


async def _disks(fleet: Deployment) -> None:
    """Two that are kept, and another one that can be removed: each page of disks has a link."""
    machine = next(one for one in await fleet.get("machines/") if one["hostname"] == "web-1")
    path = f"machines/{machine['system_id']}/"
    for disk in ("sdb", "sdc"):
        await fleet.post(path, op="add_disk", size="5", tags=LONG)
        await fleet.post(path, op="remove_disk", disk=disk, keep="true")
    await fleet.post(path, op="add_disk", size="7")


async def _one_that_is_gone(fleet: Deployment) -> None:
    """A VM whose guest nobody knows any more: a discrepancy."""
    for table in ("disk", "guest"):
        rows(fleet, f"delete from {table}", name="birch")  # noqa: S608 - two names above
    await refresh(fleet, await fleet.get("vm-hosts/birch/"))


async def _export(fleet: Deployment) -> None:
    off = [one for one in await fleet.get("machines/") if one["power_state"] == "off"]
    made = await fleet.post(f"machines/{off[0]['system_id']}/", op="export")

    async def is_ready() -> bool:
        return bool((await fleet.get(f"exports/{made['id']}/"))["state"] == "ready")

    await eventually(is_ready)


async def _own_things(admin: Visitor) -> None:
    """Things of the administrator's own account, which only it can create."""
    for page, fields in (
        ("account/keys", {"name": LONG}),
        ("account/ssh-keys", {"key": SSH_KEY}),
        ("account/clients", {"name": "east"}),
        ("account/files", {"filename": "env/state", "file": "1"}),
        ("account/filters/add", {"list": "vms", "name": LONG[:30], "query": "state:broken"}),
    ):
        address = f"{admin.origin}/MAAS/ui/{page}"
        token = re.search(r'name="csrf" value="(\w+)"', await (await admin.context.request.get(address)).text())
        assert token is not None
        form = {"csrf": token[1], **fields}
        sent = await admin.context.request.post(address, form=form, max_redirects=0)
        assert sent.status in {200, SEE_OTHER}, f"{page} answered {sent.status}"
