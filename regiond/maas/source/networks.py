"""Networks, DNS names and groups of a MAAS, from its answers. Pure."""

from __future__ import annotations

from common.maas.inventory import DnsName, Domain, Fabric, IpRange, Named, Subnet, Vlan
from regiond.maas.source.answers import (
    Row,
    Rows,
    flag,
    inner,
    inner_rows,
    number,
    optional_number,
    required,
    text,
    texts,
)

_UNDEFINED = "undefined"  # the space of a VLAN without one
_RFC_2317 = 2


def groups(found: Rows) -> tuple[Named, ...]:
    """Zones, resource pools or spaces."""
    return tuple(
        Named(id=required(one, "id"), name=required(one, "name"), description=text(one, "description")) for one in found
    )


def spaces(found: Rows) -> tuple[Named, ...]:
    """MAAS lists the VLANs without a space as a space `undefined`, which is none."""
    return groups(tuple(one for one in found if one.get("name") != _UNDEFINED))


def tags(found: Rows) -> tuple[Named, ...]:
    """The API shows no ids of tags: their names stand for them."""
    return tuple(
        Named(
            id=required(one, "name"),
            name=required(one, "name"),
            description=text(one, "comment"),
            definition=text(one, "definition"),
            kernel_opts=text(one, "kernel_opts"),
        )
        for one in found
    )


def fabrics(found: Rows) -> tuple[Fabric, ...]:
    return tuple(
        Fabric(
            id=required(one, "id"),
            name=required(one, "name"),
            class_type=text(one, "class_type"),
            description=text(one, "description"),
        )
        for one in found
    )


def vlans(found: Rows) -> tuple[Vlan, ...]:
    """The VLANs of the fabrics."""
    return tuple(_vlan(one, required(fabric, "name")) for fabric in found for one in inner_rows(fabric, "vlans"))


def subnets(found: Rows) -> tuple[Subnet, ...]:
    return tuple(
        Subnet(
            id=required(one, "id"),
            cidr=required(one, "cidr"),
            name=text(one, "name"),
            vlan_id=required(inner(one, "vlan"), "id"),
            gateway_ip=text(one, "gateway_ip"),
            dns_servers=_dns_servers(one),
            managed=flag(one, "managed", default=True),
            allow_dns=flag(one, "allow_dns", default=True),
            allow_proxy=flag(one, "allow_proxy", default=True),
            active_discovery=flag(one, "active_discovery"),
            rdns_mode=number(one, "rdns_mode", _RFC_2317),
            description=text(one, "description"),
        )
        for one in found
    )


def ranges(found: Rows) -> tuple[IpRange, ...]:
    return tuple(
        IpRange(
            id=required(one, "id"),
            subnet=required(inner(one, "subnet"), "cidr"),
            type=required(one, "type"),
            start_ip=required(one, "start_ip"),
            end_ip=required(one, "end_ip"),
            comment=text(one, "comment"),
        )
        for one in found
    )


def domains(found: Rows) -> tuple[Domain, ...]:
    return tuple(
        Domain(
            id=required(one, "id"),
            name=required(one, "name"),
            authoritative=flag(one, "authoritative", default=True),
            ttl=optional_number(one, "ttl"),
            is_default=flag(one, "is_default"),
        )
        for one in found
    )


def dns_names(resources: Rows, known: tuple[Domain, ...]) -> tuple[DnsName, ...]:
    """The names of the resources that a person made; those that MAAS derives from machines have no id of their own."""
    names = sorted((one.name for one in known), key=len, reverse=True)  # the longest domain is the one that contains it
    made: list[DnsName] = []
    for one in resources:
        if number(one, "id", -1) < 0:
            continue
        name, domain = _split(required(one, "fqdn"), names)
        addresses = tuple(sorted({text(each, "ip") for each in inner_rows(one, "ip_addresses") if text(each, "ip")}))
        if addresses:
            ttl = optional_number(one, "address_ttl")
            made.append(DnsName(id=required(one, "id"), name=name, domain=domain, addresses=addresses, ttl=ttl))
        made.extend(
            DnsName(
                id=f"{required(one, 'id')}.{required(each, 'id')}",
                name=name,
                domain=domain,
                type=required(each, "rrtype"),
                data=text(each, "rrdata"),
                ttl=optional_number(each, "ttl"),
            )
            for each in inner_rows(one, "resource_records")
        )
    return tuple(made)


def _vlan(one: Row, fabric: str) -> Vlan:
    space = text(one, "space")
    return Vlan(
        id=required(one, "id"),
        vid=number(one, "vid"),
        name=text(one, "name"),
        mtu=number(one, "mtu", 1500),
        fabric=fabric,
        space="" if space == _UNDEFINED else space,
        dhcp_on=flag(one, "dhcp_on"),
        description=text(one, "description"),
    )


def _dns_servers(one: Row) -> tuple[str, ...]:
    """Old releases answer with one text."""
    value = one.get("dns_servers")
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else texts(one, "dns_servers")


def _split(fqdn: str, domains_by_length: list[str]) -> tuple[str, str]:
    for domain in domains_by_length:
        if fqdn == domain:
            return "@", domain
        if fqdn.endswith(f".{domain}"):
            return fqdn.removesuffix(f".{domain}"), domain
    name, _, domain = fqdn.partition(".")
    return name, domain
