"""The mappings from answers of a MAAS to an inventory: what the whole site does not show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from common.errors import MaasRefused, Unsupported
from common.maas.inventory import Domain, Host
from regiond.maas.source import completeness, networks
from regiond.maas.source.answers import Answers, InstanceName, Malformed, flag, number, rows, text, texts
from regiond.maas.source.hosts import with_clusters
from regiond.maas.source.installation import uuid_of
from regiond.maas.source.machines import Surroundings, machines
from regiond.maas.source.people import users

NO_ANSWERS = Answers(
    user={"username": "anna"},
    tokens=(),
    ssh_keys=(),
    users=(),
    zones=(),
    pools=(),
    tags=(),
    spaces=(),
    fabrics=(),
    subnets=(),
    ranges=(),
    addresses={},
    reserved_ips=(),
    domains=(),
    dns_resources=(),
    hosts=(),
    parameters={},
    clusters=(),
    vms=(),
    instances={},
    machines=(),
)


def host(number_: int, certificate: str, *, project: str = "maas", member: str = "") -> Host:
    return Host(
        id=str(number_),
        name=f"host-{number_}",
        power_type="lxd",
        power_address=f"10.0.0.{number_}",
        project=project,
        certificate=certificate,
        member=member,
    )


def cluster(number_: int, name: str, size: int, *, project: str = "maas") -> dict[str, Any]:
    return {"id": number_, "name": name, "project": project, "vmhost_count": size}


def clustered(hosts: tuple[Host, ...], *clusters: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The cluster of each host that has one, and the clusters that are left out."""
    found, _, left_out = with_clusters(hosts, attrs.evolve(NO_ANSWERS, clusters=clusters))
    return {one.name: one.cluster_id for one in found if one.cluster_id}, [one.name for one in left_out]


def test_hosts_of_a_cluster_share_project_and_certificate() -> None:
    hosts = (host(1, "A\n"), host(2, "A"), host(3, "B"), host(4, "A", project="other"))
    assert clustered(hosts, cluster(7, "cloud", 2)) == ({"host-1": "7", "host-2": "7"}, [])


def test_two_clusters_of_one_project_are_told_by_their_size() -> None:
    hosts = (host(1, "A"), host(2, "A"), host(3, "B"), host(4, "B"), host(5, "B"))
    found = clustered(hosts, cluster(7, "small", 2), cluster(8, "large", 3))
    assert found == ({"host-1": "7", "host-2": "7", "host-3": "8", "host-4": "8", "host-5": "8"}, [])


def test_two_clusters_of_equal_size_are_told_by_the_host_that_named_them() -> None:
    hosts = (host(1, "A"), host(2, "A"), host(3, "B"), host(4, "B"))
    found, left_out = clustered(hosts, cluster(7, "host-3", 2), cluster(8, "host-1", 2))
    assert found == {"host-1": "8", "host-2": "8", "host-3": "7", "host-4": "7"}
    assert left_out == []


def test_a_cluster_whose_hosts_cannot_be_told_is_left_out() -> None:
    hosts = (host(1, "A"), host(2, "A"), host(3, "B"), host(4, "B"))
    found, clusters, left_out = with_clusters(
        hosts, attrs.evolve(NO_ANSWERS, clusters=(cluster(7, "east", 2), cluster(8, "west", 2)))
    )
    assert {one.cluster_id for one in found} == {""}
    assert clusters == ()
    assert [one.name for one in left_out] == ["east", "west"]
    assert "A dump of the database says it" in left_out[0].reason


def test_a_cluster_of_one_host_is_not_any_single_host() -> None:
    hosts = (host(1, "A"), host(2, "B"))
    assert clustered(hosts, cluster(7, "host-2", 1)) == ({"host-2": "7"}, [])
    assert clustered(hosts, cluster(7, "elsewhere", 1)) == ({}, ["elsewhere"])
    assert clustered((host(1, "A", member="node1"), host(2, "B")), cluster(7, "cloud", 1)) == ({"host-1": "7"}, [])


def test_a_host_of_libvirt_is_in_no_cluster() -> None:
    hosts = tuple(attrs.evolve(host(one, "A"), power_type="virsh") for one in (1, 2))
    assert clustered(hosts, cluster(7, "cloud", 2)) == ({}, ["cloud"])


def made_certificate(organization: str, unit: str) -> str:
    """A certificate as MAAS makes it: its issuer names the installation."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
        + [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] * bool(unit)
    )
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host@site")]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )


def test_certificates_that_maas_made_name_the_installation() -> None:
    own, other = str(UUID(int=1)), str(UUID(int=2))
    hosts = (
        host(1, made_certificate("MAAS", own)),
        host(2, made_certificate("MAAS", own)),
        host(3, made_certificate("Someone", other)),
        host(4, made_certificate("MAAS", "no uuid")),
        host(5, made_certificate("MAAS", "")),
        host(6, "no PEM"),
        host(7, ""),
    )
    assert uuid_of(hosts) == own
    assert uuid_of((*hosts, host(8, made_certificate("MAAS", other)))) == ""
    assert uuid_of(hosts[2:]) == ""


def test_names_are_those_that_a_person_made() -> None:
    domains = (Domain(id="0", name="maas"), Domain(id="1", name="lab.maas"))
    answers = (
        {
            "id": -1,
            "fqdn": "vm.maas",
            "ip_addresses": None,
            "resource_records": [{"rrtype": "A", "rrdata": "10.0.0.1"}],
        },
        {"id": 4, "fqdn": "a.b.lab.maas", "address_ttl": 5, "ip_addresses": [{"ip": "10.0.0.3"}, {"ip": "10.0.0.2"}]},
        {"id": 5, "fqdn": "maas", "resource_records": [{"id": 9, "rrtype": "MX", "rrdata": "10 mail", "ttl": None}]},
        {"id": 6, "fqdn": "x.unknown.test", "ip_addresses": [{"ip": "10.0.0.4"}]},
    )
    found = networks.dns_names(answers, domains)
    assert [(one.id, one.name, one.domain, one.addresses, one.type, one.ttl) for one in found] == [
        ("4", "a.b", "lab.maas", ("10.0.0.2", "10.0.0.3"), "", 5),
        ("5.9", "@", "maas", (), "MX", None),
        ("6", "x", "unknown.test", ("10.0.0.4",), "", None),
    ]


def test_dns_servers_of_old_releases_are_one_text() -> None:
    row = {"id": 1, "cidr": "10.0.0.0/24", "vlan": {"id": 5}, "dns_servers": "10.0.0.1, 10.0.0.2"}
    assert networks.subnets((row,))[0].dns_servers == ("10.0.0.1", "10.0.0.2")


def test_a_machine_of_2_9_lacks_fields_and_is_read() -> None:
    row: dict[str, Any] = {
        "system_id": "abc", "hostname": "vm", "pod": {"id": 1, "name": "host-1"}, "status": 6, "owner": None,
        "interface_set": [{"type": "physical", "name": "eth0", "mac_address": "52-54-0-0-0-A", "vlan": None}],
    }  # fmt: skip
    around = Surroundings(
        hosts={"1": host(1, "A")}, instances={"abc": InstanceName(name="inst")}, vms={}, storage_pools={}
    )
    (found,) = machines((row,), around)
    assert (found.instance, found.project, found.power_state, found.dynamic) == ("inst", "maas", "unknown", None)
    assert (found.nics[0].mac_address, found.nics[0].vlan_id) == ("52:54:00:00:00:0a", "")
    with pytest.raises(Malformed, match="the power parameters or the VM host of abc are missing"):
        machines((row,), attrs.evolve(around, instances={}))


def test_a_token_without_three_parts_is_malformed() -> None:
    answers = attrs.evolve(NO_ANSWERS, users=({"username": "anna"},), tokens=({"name": "a", "token": "x:y"},))
    with pytest.raises(Malformed, match="three parts"):
        users(answers)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda row: text(row, "key"), [1]),
        (lambda row: text(row, "key"), True),
        (lambda row: number(row, "key"), "4"),
        (lambda row: number(row, "key"), False),
        (lambda row: flag(row, "key"), 1),
        (lambda row: texts(row, "key"), "a"),
        (lambda row: texts(row, "key"), [1]),
        (lambda row: rows(row["key"], "key"), {"a": 1}),
        (lambda row: rows(row["key"], "key"), [1]),
    ],
)
def test_a_field_of_another_type_is_named(read: Any, value: object) -> None:
    with pytest.raises(Malformed, match=r"^key is n"):
        read({"key": value})


@pytest.mark.parametrize("version", ["2.9.2", "3.8.0~beta6", "4.0.0", "10.1", "unknown", ""])
def test_versions_since_2_9_and_unknown_ones_are_asked(version: str) -> None:
    completeness.check_version(version, "http://maas.test/MAAS")


@pytest.mark.parametrize("version", ["2.8.4", "2.3", "1.9"])
def test_an_older_version_is_refused(version: str) -> None:
    with pytest.raises(Unsupported, match=rf"has version {version}\. An import reads 2\.9 to 3\.8"):
        completeness.check_version(version, "http://maas.test/MAAS")


def test_before_3_8_the_key_is_that_of_an_administrator() -> None:
    user = {"username": "olaf", "is_superuser": False}
    for version in ("3.7.3", "2.9.2", ""):
        with pytest.raises(MaasRefused, match="belongs to olaf, who is no administrator"):
            completeness.check_user(user, version, "http://maas.test/MAAS")
    (said,) = completeness.check_user(user, "3.8.0", "http://maas.test/MAAS")
    assert "hosts and machines of other pools may be missing" in said.reason
    assert completeness.check_user({"username": "anna", "is_superuser": True}, "3.8.0", "x") == ()
