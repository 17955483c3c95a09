"""A small inventory of one MAAS, and its plan in a region with these objects: what the tests of plans begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from common.maas.inventory import (
    Cluster,
    DnsName,
    Domain,
    Fabric,
    Host,
    Inventory,
    IpRange,
    Machine,
    Named,
    Origin,
    ReservedAddress,
    SourceKind,
    Subnet,
    User,
    Vlan,
)
from regiond.maas.imports.model import Plan, PlanItem
from regiond.maas.imports.plan import make_plan
from regiond.maas.imports.region_state import KnownHost, KnownMachine, KnownSubnet, KnownUser, RegionState
from tests.maas_site.people import PASSWORD_HASH

ORIGIN = Origin(kind=SourceKind.DUMP, label="site.sql", version="3.7", uuid="u-1", name="metal")
HOST = Host(
    id="7", name="kvm-1", power_type="lxd", power_address="10.0.0.7", project="maas", certificate="PEM", key="KEY",
    cluster_id="2",
)  # fmt: skip
LIBVIRT = Host(id="8", name="kvm-2", power_type="virsh", power_address="qemu+ssh://root@10.0.0.8/system")
WEB = Machine(system_id="aaaaa1", hostname="web", host_id="7", instance="web", status=6, owner="olaf")
DB = Machine(system_id="aaaaa2", hostname="db", host_id="8", instance="db", status=4)
SITE = Inventory(
    origin=ORIGIN,
    zones=(Named(id="1", name="default"), Named(id="2", name="east")),
    pools=(Named(id="0", name="default"), Named(id="1", name="web")),
    tags=(Named(id="1", name="virtual"),),
    spaces=(Named(id="1", name="dmz"),),
    fabrics=(Fabric(id="0", name="fabric-0"),),
    vlans=(Vlan(id="10", vid=0, fabric="fabric-0"), Vlan(id="11", vid=77, fabric="fabric-0", name="web")),
    subnets=(Subnet(id="5", cidr="10.77.0.0/24", vlan_id="11"),),
    ranges=(IpRange(id="1", subnet="10.77.0.0/24", type="dynamic", start_ip="10.77.0.2", end_ip="10.77.0.9"),),
    reserved_addresses=(
        ReservedAddress(ip="10.77.0.5", subnet="10.77.0.0/24", holder="printer"),  # in the range
        ReservedAddress(ip="10.77.0.50", subnet="10.77.0.0/24", holder="metal-1"),
    ),
    domains=(Domain(id="1", name="example.com"),),
    dns_names=(
        DnsName(id="1", name="www", domain="example.com", addresses=("10.77.0.60",)),
        DnsName(id="2", name="mail", domain="example.com", type="MX", data="10 mail"),
    ),
    users=(
        User(id="1", username="MAAS"),
        User(id="2", username="anna", email="anna@example.com", is_admin=True, password_hash=PASSWORD_HASH),
        User(id="3", username="olaf", email="olaf@example.com", password_hash=PASSWORD_HASH),
        User(id="4", username="ines", active=False),
    ),
    clusters=(Cluster(id="2", name="apps"),),
    hosts=(HOST, LIBVIRT),
    machines=(WEB, DB),
)  # fmt: skip
EMPTY = RegionState(zones=frozenset({"default"}), pools=frozenset({"default"}))
# As after the import.
FULL = RegionState(
    zones=frozenset({"default", "east"}),
    pools=frozenset({"default", "web"}),
    tags=frozenset({"virtual"}),
    spaces=frozenset({"dmz"}),
    fabrics=frozenset({"fabric-0"}),
    vlans={("fabric-0", 0): 1, ("fabric-0", 77): 2},
    subnets={"10.77.0.0/24": KnownSubnet(id=1, fabric="fabric-0", vid=77)},
    ranges=frozenset({("10.77.0.2", "10.77.0.9"), ("10.77.0.50", "10.77.0.50")}),
    domains=frozenset({"example.com"}),
    dns_names=frozenset({("www", "example.com")}),
    users={
        one.username: KnownUser(username=one.username, email=one.email, is_admin=one.is_admin)
        for one in SITE.users
        if one.id in {"2", "3"}
    },
    hosts=(
        KnownHost(id=1, name="kvm-1", driver="lxd", address="https://10.0.0.7:8443", project="maas", cluster_id=1),
        KnownHost(id=2, name="kvm-2", driver="virsh", address="qemu+ssh://root@10.0.0.8/system", project=""),
    ),
    clusters={"apps": 1},
    machines={
        "aaaaa1": KnownMachine(system_id="aaaaa1", hostname="web", host="kvm-1", guest="web"),
        "aaaaa2": KnownMachine(system_id="aaaaa2", hostname="db", host="kvm-2", guest="db"),
    },
    hostnames=frozenset({"web", "db"}),
)


def plan(inventory: Inventory = SITE, state: RegionState = EMPTY, **choices: str) -> Plan:
    """The plan; a choice is given as `users_3="same"`."""
    return planned(inventory, state, choices)


def planned(inventory: Inventory, state: RegionState, choices: Mapping[str, str]) -> Plan:
    parts = [(name.partition("_"), choice) for name, choice in choices.items()]
    return make_plan(1, inventory, state, {(kind, number): choice for (kind, _, number), choice in parts})


def item(found: Plan, kind: str, source_id: str) -> PlanItem:
    (one,) = [each for each in found.items if each.key == (kind, source_id)]
    return one


def host(**changes: Any) -> Inventory:
    """The site with one host changed."""
    return evolve(SITE, hosts=(evolve(HOST, **changes), LIBVIRT))


def machine(**changes: Any) -> Inventory:
    """The site with one machine changed."""
    return evolve(SITE, machines=(evolve(WEB, **changes), DB))


def user(**changes: Any) -> Inventory:
    """The site with one user changed."""
    return evolve(SITE, users=(*SITE.users[:2], evolve(SITE.users[2], **changes)))
