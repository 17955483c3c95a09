"""Domains with their records, and static DNS names."""

from __future__ import annotations

from regiond.api.declaration.serializer import STR, Serializer, array, constant, fields_of, key, serializer
from regiond.api.urls import uri
from regiond.dns.model import Address, DnsName, Domain

DOMAIN_WITH_RECORDS_JSON: Serializer[Domain] = serializer(
    "DomainWithRecords",
    *fields_of(Domain, "id name authoritative ttl=ttl_s is_default resource_record_count=record_count"),
    key("resource_uri", STR, lambda domain: uri("domains", domain.id)),
)
_DNS_ADDRESS_JSON: Serializer[Address] = serializer("DnsAddress", key("ip", STR, str))
DNS_RESOURCE_JSON: Serializer[DnsName] = serializer(
    "DnsResource",
    *fields_of(DnsName, "id fqdn address_ttl=ttl_s ip_addresses=addresses", ip_addresses=_DNS_ADDRESS_JSON),
    constant("resource_records", array(STR), []),
    key("resource_uri", STR, lambda one: uri("dnsresources", one.id)),
)
