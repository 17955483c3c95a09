"""Terraform's provider on simulated hosts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from common.addresses.report_url import ReportPage
from tests.clients.calls import TERRAFORM
from tests.clients.client_host import SIMULATED_SUBNET, simulated_host
from tests.clients.exact_bytes import Gomaasclient
from tests.clients.go_programs import key_of
from tests.clients.recording_proxy import recording
from tests.clients.scenarios.terraform import Terraform
from tests.clients.scenarios.terraform_subnet import SubnetWithRanges
from tests.clients.scenarios.terraform_vm_host import MachineAsHost
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.doubles.guest_reports import send_report, texts_of, url_of_report
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.support.images import add_image
from tests.support.waiting import eventually

RELEASES: tuple[tuple[tuple[str, ...], list[bool]], ...] = (
    ((), [False, True]),
    (("force",), [False, True]),
    (("quick_erase", "secure_erase"), [False, True]),
    (("erase",), [False, False]),
    (("erase", "quick_erase"), [False, False]),
    (("erase", "secure_erase", "force"), [False, False]),
)


async def test_terraform_applies_plans_and_destroys(innkeeper: Deployment) -> None:
    host = await simulated_host(innkeeper, "tf")
    async with recording(innkeeper.api.url) as proxy:
        terraform = Terraform(Gomaasclient.to(proxy.url, key_of(innkeeper)), host)
        await terraform.create_vm_host()
        await terraform.live()
        await terraform.destroy()
    assert (await innkeeper.get("machines/"), await innkeeper.get("vm-hosts/"), await innkeeper.get("tags/")) == (
        [], [], [],
    )  # fmt: skip
    TERRAFORM.check(proxy.calls)


async def test_release_params_say_which_disks_are_emptied(innkeeper: Deployment) -> None:
    host = await simulated_host(innkeeper, "tf")
    async with recording(innkeeper.api.url) as proxy:
        terraform = Terraform(Gomaasclient.to(proxy.url, key_of(innkeeper)), host)
        await terraform.create_vm_host()
        await terraform.create_vm_host_machine()
        await terraform.create_interface_link()
        for params, written in RELEASES:
            await terraform.create_instance()
            assert innkeeper.simulated("tf").written_disks_of("tf-vm") == [True, True]
            proxy.calls.clear()
            await terraform.release_instance(*params)
            assert innkeeper.simulated("tf").written_disks_of("tf-vm") == written, params
            TERRAFORM.check(proxy.calls, "release_params")


async def test_a_device_needs_no_machine(innkeeper: Deployment) -> None:
    host = await simulated_host(innkeeper, "tf")
    async with recording(innkeeper.api.url) as proxy:
        await Terraform(Gomaasclient.to(proxy.url, key_of(innkeeper)), host).device()
    TERRAFORM.check(proxy.calls, "device")
    assert await innkeeper.get("devices/") == []


async def test_an_instance_that_allocate_composed_is_destroyed(innkeeper: Deployment) -> None:
    host = await simulated_host(innkeeper, "tf")
    async with recording(innkeeper.api.url) as proxy:
        terraform = Terraform(Gomaasclient.to(proxy.url, key_of(innkeeper)), host)
        await terraform.create_vm_host()
        proxy.calls.clear()
        await terraform.composed_instance()
    TERRAFORM.check(proxy.calls, "instance that allocate composed")
    await eventually(lambda: innkeeper.simulated_guests("tf") == [])
    assert await innkeeper.get("machines/") == []


async def test_a_machine_becomes_a_vm_host_and_is_released_with_it(tmp_path: Path, database_url: str) -> None:
    outer, inner = FakeLxd(name="outer"), FakeLxd(name="inner")
    lxds = FakeLxds(tmp_path / "simulated", outer, inner)
    lxds.aliases["10.1.0.9"] = "inner"
    async with deployed(tmp_path, database_url, drivers=lxds.drivers) as innkeeper:
        await innkeeper.start_rack()
        await add_image(innkeeper, "ubuntu/noble")
        host = await innkeeper.post("vm-hosts/", type="lxd", power_address="outer", power_pass=outer.token())
        await innkeeper.compose(host["id"], hostname="tf-server", cores=1, memory=2048)
        async with recording(innkeeper.api.url) as proxy:
            made = MachineAsHost(Gomaasclient.to(proxy.url, key_of(innkeeper)), "lxd")
            async with asyncio.TaskGroup() as both:
                both.create_task(made.create("tf-server"))
                both.create_task(set_up(innkeeper, inner))
            await made.destroy()
        assert [one["name"] for one in await innkeeper.get("vm-hosts/")] == [host["name"]]
    TERRAFORM.check(proxy.calls, "vm_host of a machine")


async def test_a_subnet_has_the_ranges_of_its_configuration(innkeeper: Deployment) -> None:
    printers = ("reserved", "10.1.0.10", "10.1.0.19", "printers")
    of_dhcp = ("dynamic", "10.1.0.128", "10.1.0.254", "")
    async with recording(innkeeper.api.url) as proxy:
        subnet = SubnetWithRanges(Gomaasclient.to(proxy.url, key_of(innkeeper)), SIMULATED_SUBNET)
        await subnet.create([printers])
        assert await subnet.ranges() == [printers]
        await innkeeper.add_simulated(networks=f"lan:{SIMULATED_SUBNET}")
        (discovered,) = [one for one in await innkeeper.get("ipranges/?with_discovered=true") if one["discovered"]]
        assert (discovered["type"], discovered["start_ip"], discovered["end_ip"], "") == of_dhcp
        for ranges in ([printers, of_dhcp], [("dynamic", "10.1.0.150", "10.1.0.200", "phones")]):
            await subnet.update(ranges)
            planned = await subnet.plan()
            assert await subnet.ranges() == ranges
            assert await subnet.plan() == planned == ["10.1.0.1", []]
            assert discovered in await innkeeper.get("ipranges/?with_discovered=true")
        await subnet.destroy()
    assert await innkeeper.get("ipranges/?with_discovered=true") == []
    TERRAFORM.check(proxy.calls, "subnet with ip_ranges")


async def set_up(innkeeper: Deployment, server: FakeLxd) -> None:
    """What happens in the guest of the machine: its LXD trusts the certificate that it was given, and it reports."""
    user_data = await eventually(lambda: deployed_data(innkeeper))
    configs = [json.loads(text.partition("\n")[2]) for text in texts_of(user_data)]
    written = {one["path"]: one["content"] for config in configs for one in config.get("write_files", ())}
    server.trust(written["/run/innkeeper/trusted"])
    url = url_of_report(innkeeper.region.api_url.removesuffix("/MAAS/"), user_data)
    assert url is not None
    report = {"address": "10.1.0.9", "fingerprint": server.fingerprint}
    await eventually(lambda: asyncio.to_thread(send_report, url, ReportPage.VM_HOST, report))
    await eventually(lambda: asyncio.to_thread(send_report, url))


def deployed_data(innkeeper: Deployment) -> bytes | None:
    """The cloud-init data of the guest, once it has some."""
    outer = innkeeper.simulated("outer")
    return outer.user_data_of("tf-server") if outer.image_of("tf-server") else None
