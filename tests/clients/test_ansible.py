"""The Ansible collection on simulated hosts."""

from __future__ import annotations

from tests.clients.calls import ANSIBLE
from tests.clients.client_host import SIMULATED_SUBNET, simulated_host
from tests.clients.exact_bytes import Ansible
from tests.clients.go_programs import key_of
from tests.clients.recording_proxy import recording
from tests.clients.scenarios.ansible import Modules
from tests.clients.scenarios.ansible_subnet import SubnetModule
from tests.deployment.deployment import Deployment


async def test_a_second_run_of_a_playbook_changes_nothing(innkeeper: Deployment) -> None:
    host = await simulated_host(innkeeper, "an")
    async with recording(innkeeper.api.url) as proxy:
        await Modules(Ansible.to(proxy.url, key_of(innkeeper)), host).live()
    assert await innkeeper.get("machines/") == await innkeeper.get("vm-hosts/") == []
    ANSIBLE.check(proxy.calls)


async def test_a_subnet_has_the_ranges_of_its_playbook(innkeeper: Deployment) -> None:
    printers = {"type": "reserved", "start_ip": "10.1.0.10", "end_ip": "10.1.0.19"}
    of_dhcp = {"type": "dynamic", "start_ip": "10.1.0.128", "end_ip": "10.1.0.254"}
    await innkeeper.add_simulated(networks=f"lan:{SIMULATED_SUBNET}")
    async with recording(innkeeper.api.url) as proxy:
        client = Ansible.to(proxy.url, key_of(innkeeper))
        discovered = SubnetModule(client, name=SIMULATED_SUBNET, cidr=SIMULATED_SUBNET)
        for ranges, gateway_ip in (([printers, of_dhcp], None), ([of_dhcp], None), ([of_dhcp], "10.1.0.2")):
            assert await discovered.present(ranges, gateway_ip)
            assert not await discovered.present(ranges, gateway_ip), "a second run changes nothing"
            listed = await innkeeper.get("ipranges/")
            assert [{name: one[name] for name in of_dhcp} for one in listed] == ranges
        new = SubnetModule(client, name="an-subnet", cidr="10.9.0.0/24")
        of_new = [{"type": "reserved", "start_ip": "10.9.0.5", "end_ip": "10.9.0.9"}]
        assert (await new.present(of_new), await new.present(of_new)) == (True, False)
        for subnet in (discovered, new):
            assert (await subnet.absent(), await subnet.absent()) == (True, False)
    assert await innkeeper.get("ipranges/?with_discovered=true") == []
    ANSIBLE.check(proxy.calls, "subnet with ip_ranges")
