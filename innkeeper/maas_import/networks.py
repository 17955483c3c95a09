"""Zones, pools, tags, networks and names of MAAS. Pure."""

from __future__ import annotations

from attrs import frozen

from common.maas.inventory import DnsName, Domain, Fabric, IpRange, Named, Subnet, Vlan
from innkeeper.maas_import.references import References, address, named
from innkeeper.maas_import.tables import Tables


@frozen(kw_only=True)
class Networks:
    zones: tuple[Named, ...]
    pools: tuple[Named, ...]
    tags: tuple[Named, ...]
    spaces: tuple[Named, ...]
    fabrics: tuple[Fabric, ...]
    vlans: tuple[Vlan, ...]
    subnets: tuple[Subnet, ...]
    ranges: tuple[IpRange, ...]
    domains: tuple[Domain, ...]
    dns_names: tuple[DnsName, ...]


def networks_of(tables: Tables, names: References) -> Networks:
    return Networks(
        zones=_named(tables, "maasserver_zone"),
        pools=_named(tables, "maasserver_resourcepool"),
        tags=_tags(tables),
        spaces=_named(tables, "maasserver_space"),
        fabrics=_fabrics(tables, names),
        vlans=_vlans(tables, names),
        subnets=_subnets(tables),
        ranges=_ranges(tables, names),
        domains=_domains(tables),
        dns_names=_dns_names(tables, names),
    )


def _named(tables: Tables, table: str) -> tuple[Named, ...]:
    return tuple(
        Named(id=row.text("id"), name=row.text("name"), description=row.text("description"))
        for row in tables.ordered(table)
    )


def _tags(tables: Tables) -> tuple[Named, ...]:
    return tuple(
        Named(
            id=row.text("id"),
            name=row.text("name"),
            description=row.text("comment"),
            definition=row.text("definition"),
            kernel_opts=row.text("kernel_opts"),
        )
        for row in tables.ordered("maasserver_tag")
    )


def _fabrics(tables: Tables, names: References) -> tuple[Fabric, ...]:
    return tuple(
        Fabric(
            id=row.text("id"),
            name=names.fabrics[row.text("id")],
            class_type=row.text("class_type"),
            description=row.text("description"),
        )
        for row in tables.ordered("maasserver_fabric")
    )


def _vlans(tables: Tables, names: References) -> tuple[Vlan, ...]:
    return tuple(
        Vlan(
            id=row.text("id"),
            vid=row.integer("vid"),
            name=row.text("name"),
            mtu=row.integer("mtu"),
            fabric=named(names.fabrics, row, "fabric_id"),
            space=named(names.spaces, row, "space_id"),
            dhcp_on=row.boolean("dhcp_on"),
            description=row.text("description"),
        )
        for row in tables.ordered("maasserver_vlan")
    )


def _subnets(tables: Tables) -> tuple[Subnet, ...]:
    return tuple(
        Subnet(
            id=row.text("id"),
            cidr=row.text("cidr"),
            name=row.text("name"),
            vlan_id=row.text("vlan_id"),
            gateway_ip=address(row, "gateway_ip"),
            dns_servers=row.array("dns_servers"),
            managed=row.boolean("managed", default=True),
            allow_dns=row.boolean("allow_dns", default=True),
            allow_proxy=row.boolean("allow_proxy", default=True),
            active_discovery=row.boolean("active_discovery"),
            rdns_mode=row.integer("rdns_mode"),
            description=row.text("description"),
        )
        for row in tables.ordered("maasserver_subnet")
    )


def _ranges(tables: Tables, names: References) -> tuple[IpRange, ...]:
    return tuple(
        IpRange(
            id=row.text("id"),
            subnet=named(names.cidrs, row, "subnet_id"),
            type=row.text("type"),
            start_ip=address(row, "start_ip"),
            end_ip=address(row, "end_ip"),
            comment=row.text("comment"),
        )
        for row in tables.ordered("maasserver_iprange")
    )


def _domains(tables: Tables) -> tuple[Domain, ...]:
    default = {row.text("domain_id") for row in tables["maasserver_globaldefault"]}
    return tuple(
        Domain(
            id=row.text("id"),
            name=row.text("name"),
            authoritative=row.boolean("authoritative", default=True),
            ttl=row.optional_integer("ttl"),
            is_default=row.text("id") in default,
        )
        for row in tables.ordered("maasserver_domain")
    )


def _dns_names(tables: Tables, names: References) -> tuple[DnsName, ...]:
    """Names besides those of machines: first the one with addresses, then its other records."""
    addresses = tables.by("maasserver_staticipaddress")
    joined = tables.grouped("maasserver_dnsresource_ip_addresses", "dnsresource_id")
    records = tables.grouped("maasserver_dnsdata", "dnsresource_id")
    found: list[DnsName] = []
    for row in tables.ordered("maasserver_dnsresource"):
        id_, name, domain = row.text("id"), row.text("name"), named(names.domains, row, "domain_id")
        rows = [addresses.get(one.text("staticipaddress_id")) for one in joined.get(id_, ())]
        if ips := sorted({address(one) for one in rows if one is not None and one.text("ip")}):
            ttl = row.optional_integer("address_ttl")
            found.append(DnsName(id=id_, name=name, domain=domain, addresses=tuple(ips), ttl=ttl))
        found += [
            DnsName(
                id=f"{id_}.{one.text('id')}",
                name=name,
                domain=domain,
                type=one.text("rrtype"),
                data=one.text("rrdata"),
                ttl=one.optional_integer("ttl"),
            )
            for one in records.get(id_, ())
        ]
    return tuple(found)
