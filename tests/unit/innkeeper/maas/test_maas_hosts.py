"""Hosts, people and networks of a database of MAAS in the inventory."""

from __future__ import annotations

import pytest

from common.maas.inventory import ApiKey, Cluster, DnsName, Host, Inventory, User
from common.maas.wording import normalised_mac
from tests.maas_site.certificates import NAME, UUID, pair_of
from tests.maas_site.hosts import LIBVIRT, LIBVIRT_PASSWORD, MEMBERS, NORTH, SOUTH, TRUST_PASSWORD
from tests.maas_site.people import PASSWORD_HASH, SSH_KEYS
from tests.maas_site.reading import inventory_from
from tests.maas_site.site import site
from tests.maas_site.tables import system_id


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    return inventory_from(site())


def host(inventory: Inventory, number: int) -> Host:
    return next(one for one in inventory.hosts if one.id == str(number))


def user(inventory: Inventory, name: str) -> User:
    return next(one for one in inventory.users if one.username == name)


def test_the_installation_is_named(inventory: Inventory) -> None:
    assert (inventory.origin.uuid, inventory.origin.name) == (UUID, NAME)


def test_a_host_has_its_settings_and_its_secrets(inventory: Inventory) -> None:
    found = host(inventory, NORTH)
    assert (found.name, found.power_address, found.project) == ("kvm-north", "10.20.0.11:8443", "maas")
    assert (found.zone, found.pool, found.tags) == ("north", "default", ("ssd", "pod-console-logging"))
    assert (found.cpu_over_commit_ratio, found.memory_over_commit_ratio) == (4.0, 1.5)
    assert (found.default_storage_pool, found.default_macvlan_mode) == ("default", "bridge")
    assert found.certificate == pair_of("kvm-north").certificate_pem.decode()
    assert found.key == pair_of("kvm-north").key_pem.decode()
    assert host(inventory, SOUTH).password == TRUST_PASSWORD
    assert host(inventory, LIBVIRT).power_pass == LIBVIRT_PASSWORD
    assert host(inventory, LIBVIRT).default_storage_pool == "fast"


def test_secrets_are_in_no_description_of_values(inventory: Inventory) -> None:
    shown = repr(inventory)
    secrets = (TRUST_PASSWORD, LIBVIRT_PASSWORD, PASSWORD_HASH, "PRIVATE KEY", f"secret{2:026}")
    assert [one for one in secrets if one in shown] == []


def test_members_of_a_cluster_are_hosts_of_it(inventory: Inventory) -> None:
    assert inventory.clusters == (Cluster(id="1", name="apps-cluster", project="apps", zone="south", pool="tenants"),)
    members = [host(inventory, one) for one in MEMBERS]
    assert [one.cluster_id for one in members] == ["1"] * 3
    assert [one.member for one in members] == ["", "rack-b", "rack-c"]
    assert len({one.certificate for one in members}) == 1
    assert host(inventory, NORTH).cluster_id == ""


def test_the_machine_of_a_host_is_found_by_row_or_address(inventory: Inventory) -> None:
    assert [host(inventory, one).machine_system_id for one in (NORTH, SOUTH, LIBVIRT)] == [
        system_id(one) for one in (NORTH, SOUTH, LIBVIRT)
    ]


def test_secrets_in_vault_are_named() -> None:
    tables = site()
    paths = [row["path"] for row in tables["maasserver_secret"]]
    tables["maasserver_secret"] = [row for row in tables["maasserver_secret"] if not row["path"].startswith("bmc/")]
    tables["maasserver_vaultsecret"] = [
        {"id": number, "path": path, "deleted": path == f"bmc/{SOUTH}/power-parameters"}
        for number, path in enumerate(paths)
    ]
    found = inventory_from(tables)
    assert host(found, NORTH).vault_paths == (f"bmc/{NORTH}/power-parameters",)
    assert host(found, NORTH).certificate  # is no secret
    assert (host(found, NORTH).key, host(found, SOUTH).vault_paths) == ("", ())


def test_a_database_of_4_0_gives_hosts_by_their_addresses() -> None:
    found = inventory_from(site(), version="4.0")
    assert [one.name for one in found.hosts][:2] == ["10.20.0.11", "10.20.0.12"]
    assert {one.complete for one in found.hosts} == {False}
    assert host(found, NORTH).key == pair_of("kvm-north").key_pem.decode()
    assert found.clusters == ()
    assert len(found.machines) == 41


def test_users_have_their_keys_and_nobody_elses(inventory: Inventory) -> None:
    assert [one.username for one in inventory.users] == ["anna", "olaf", "ines", "emil"]
    anna, olaf = user(inventory, "anna"), user(inventory, "olaf")
    assert (anna.is_admin, anna.email, anna.full_name) == (True, "anna@example.com", "Anna Ädmin")
    assert (anna.password_hash, anna.ssh_keys) == (PASSWORD_HASH, SSH_KEYS[3])
    assert olaf.full_name == "Olaf O'Per\tator"
    assert [one.name for one in olaf.api_keys] == ["MAAS consumer", "terraform"]
    assert anna.api_keys == (
        ApiKey(consumer=f"consumer{1:010}", token=f"token{1:013}", secret=f"secret{1:026}", name="MAAS consumer"),
    )


def test_a_key_of_a_machine_is_nobodys() -> None:
    tables = site()
    tables["piston3_token"] = [row | {"user_id": 4} for row in tables["piston3_token"] if row["id"] == 4]
    assert [one.api_keys for one in inventory_from(tables).users] == [()] * 4


def test_users_of_elsewhere_and_without_password_are_marked(inventory: Inventory) -> None:
    ines, emil = user(inventory, "ines"), user(inventory, "emil")
    assert (ines.active, ines.local) == (False, True)
    assert (emil.active, emil.local, emil.password_hash, emil.email) == (True, False, "", "")


def test_groups_decide_who_administrates_since_3_8() -> None:
    assert [one.is_admin for one in inventory_from(site(), version="3.8").users] == [True, False, False, False]


def test_networks_are_whole(inventory: Inventory) -> None:
    assert [(one.name, one.class_type) for one in inventory.fabrics] == [("fabric-0", ""), ("storage", "10g")]
    assert [(one.vid, one.name, one.fabric, one.space, one.mtu, one.dhcp_on) for one in inventory.vlans] == [
        (0, "untagged", "fabric-0", "", 1500, True),
        (10, "apps", "fabric-0", "apps", 1500, False),
        (0, "", "storage", "storage", 9000, False),
    ]
    boot, apps, storage, _ = inventory.subnets
    assert (boot.gateway_ip, boot.dns_servers, boot.vlan_id) == ("10.20.0.1", ("10.20.0.2", "10.20.0.3"), "5001")
    assert (apps.allow_proxy, apps.rdns_mode, storage.managed, storage.allow_dns) == (False, 1, False, False)
    assert [(one.type, one.subnet, one.start_ip, one.end_ip) for one in inventory.ranges] == [
        ("dynamic", "10.20.0.0/16", "10.20.255.0", "10.20.255.200"),
        ("reserved", "10.30.0.0/16", "10.30.0.1", "10.30.0.50"),
        ("reserved", "172.16.0.0/16", "172.16.16.0", "172.16.16.255"),
    ]
    assert [(one.name, one.description) for one in inventory.zones][1] == ("north", "The cold side")
    assert inventory.tags[1].definition.startswith("//node[")


def test_names_of_dns_are_those_besides_machines(inventory: Inventory) -> None:
    assert [(one.name, one.ttl, one.is_default) for one in inventory.domains] == [
        ("maas", None, True),
        ("example.com", 30, False),
    ]
    assert inventory.dns_names == (
        DnsName(id="1", name="www", domain="example.com", addresses=("10.30.0.80",), ttl=60),
        DnsName(id="2.1", name="info", domain="example.com", type="TXT", data='"a \\"quoted\\" text"'),
    )


@pytest.mark.parametrize(
    ("spelled", "normal"),
    [
        ("00:16:3E:00:00:0A", "00:16:3e:00:00:0a"),
        ("00-16-3e-00-00-0a", "00:16:3e:00:00:0a"),
        ("0:16:3e:0:0:a", "00:16:3e:00:00:0a"),
        ("00163E00000A", "00:16:3e:00:00:0a"),
        ("0016.3e00.000a", "00:16:3e:00:00:0a"),
        (" 00:16:3e:00:00:0a ", "00:16:3e:00:00:0a"),
        ("", ""),
        ("No MAC", "no mac"),
    ],
)
def test_mac_addresses_have_one_spelling(spelled: str, normal: str) -> None:
    assert normalised_mac(spelled) == normal
