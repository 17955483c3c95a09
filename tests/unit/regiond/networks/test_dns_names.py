"""DNS names: what is one, in which domain it is, and what the zone file says."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from common.errors import InvalidRequest
from regiond.dns.model import (
    Address,
    DnsName,
    Domain,
    MachineName,
    check_domain_name,
    check_record_name,
    parse_addresses,
    split_fqdn,
    zone_file,
)

MAAS = Domain(id=0, name="maas")
LAB = Domain(id=1, name="lab.maas", ttl_s=300)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def addresses(*texts: str) -> tuple[Address, ...]:
    return tuple(map(ip_address, texts))


def test_a_name_is_in_the_longest_domain_that_fits() -> None:
    assert split_fqdn("API.Lab.maas.", [MAAS, LAB]) == ("api", LAB)
    assert split_fqdn("a.b.maas", [MAAS, LAB]) == ("a.b", MAAS)
    assert split_fqdn("lab.maas", [MAAS, LAB]) == ("@", LAB)
    with pytest.raises(InvalidRequest, match=r"'www.notmaas' is in no known domain; there are lab.maas, maas."):
        split_fqdn("www.notmaas", [MAAS, LAB])


@pytest.mark.parametrize("name", ["", "-a", "a..b", "a b", "a\nb", "a;b", "ü", "a" * 64, "$INCLUDE", "a.*"])
def test_what_would_break_a_zone_file_is_no_name(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check_record_name(name, "maas")
    with pytest.raises(InvalidRequest):
        check_domain_name(name)


def test_addresses_are_separated_by_blanks_or_repeated() -> None:
    assert parse_addresses(["10.0.0.2 10.0.0.1", "fd00::1", "10.0.0.2"]) == addresses("10.0.0.2", "10.0.0.1", "fd00::1")
    assert parse_addresses([""]) == ()
    with pytest.raises(InvalidRequest) as rejected:
        parse_addresses(["10.0.0.300 fe80::1%eth0 7"])
    assert len(rejected.value.details["fields"]["ip_addresses"]) == 3


def test_a_zone_file_has_static_names_and_machines() -> None:
    names = [
        DnsName(id=1, name="@", domain_id=0, domain="maas", addresses=addresses("10.0.0.9")),
        DnsName(id=2, name="fox", domain_id=0, domain="maas", ttl_s=60, addresses=addresses("10.0.0.5")),
        DnsName(id=3, name="empty", domain_id=0, domain="maas"),
    ]
    machines = [
        MachineName(hostname="fox", addresses=addresses("10.0.0.5", "fe80::1")),
        MachineName(hostname="elk", addresses=addresses("10.0.0.6", "fd00::6")),
        MachineName(hostname="off", addresses=()),
    ]
    assert zone_file(MAAS, names, machines, now=NOW).splitlines() == [
        "; maas: static names and machines of Innkeeper",
        "$ORIGIN maas.",
        "$TTL 30",
        "@ IN SOA localhost. nobody.localhost. ( 1767312000 600 1800 604800 30 )",
        "@ IN NS localhost.",
        "@ IN A 10.0.0.9",
        "elk IN A 10.0.0.6",
        "elk IN AAAA fd00::6",
        "fox 60 IN A 10.0.0.5",
    ]
    assert "$TTL 300" in zone_file(LAB, (), (), now=NOW)
