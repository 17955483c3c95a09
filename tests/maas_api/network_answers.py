"""Answers about networks, DNS and groups: continuity.md 2.8, 2.9 and 3."""

from __future__ import annotations

from typing import Any

from tests.maas_api.messages import Answer, Request, json_answer, refused
from tests.maas_api.rows import Rows
from tests.maas_api.state import Maas
from tests.maas_site.tables import Row

_SETTINGS = ("maas_name", "default_distro_series", "completed_intro")


def zones(maas: Maas, _: Request) -> Answer:
    return json_answer([zone(one) for one in sorted(maas.rows.all("zone"), key=lambda one: str(one["name"]))])


def pools(maas: Maas, _: Request) -> Answer:
    return json_answer([pool(one) for one in sorted(maas.rows.all("resourcepool"), key=lambda one: str(one["name"]))])


def tags(maas: Maas, _: Request) -> Answer:
    keys = ("name", "definition", "comment", "kernel_opts")
    return json_answer(
        [
            {key: one[key] for key in keys} | {"resource_uri": _uri(f"tags/{one['name']}/")}
            for one in maas.rows.all("tag")
        ]
    )


def spaces(maas: Maas, _: Request) -> Answer:
    """With the space `undefined` of the VLANs without one."""
    found = [(one["id"], one["name"]) for one in maas.rows.all("space")]
    return json_answer(
        [
            {
                "id": number, "name": name, "resource_uri": _uri(f"spaces/{number}/"), "subnets": [],
                "vlans": [vlan(maas.rows, one) for one in maas.rows.where("vlan", "space_id", _none(number))],
            }
            for number, name in [*found, (-1, "undefined")]
        ]
    )  # fmt: skip


def fabrics(maas: Maas, _: Request) -> Answer:
    return json_answer(
        [
            {
                "id": one["id"], "name": fabric_name(one), "class_type": one["class_type"],
                "vlans": [vlan(maas.rows, each) for each in maas.rows.where("vlan", "fabric_id", one["id"])],
                "resource_uri": _uri(f"fabrics/{one['id']}/"),
            }
            for one in maas.rows.all("fabric")
        ]
    )  # fmt: skip


def subnets(maas: Maas, _: Request) -> Answer:
    return json_answer([subnet(maas.rows, one) for one in maas.rows.all("subnet")])


def addresses(maas: Maas, request: Request) -> Answer:
    """The addresses of one subnet, also discovered ones and those only tried out, each with a summary of its node."""
    rows = maas.rows
    answers: list[dict[str, Any]] = []
    for one in rows.where("staticipaddress", "subnet_id", int(request.arguments[0])):
        if one["ip"] is None:
            continue
        answers.append({"ip": one["ip"], "alloc_type": one["alloc_type"], "created": one["created"]})
        if one["user_id"] is not None:
            answers[-1]["user"] = rows.one("auth_user", one["user_id"])["username"]
        for join in rows.where("interface_ip_addresses", "staticipaddress_id", one["id"]):
            config = rows.one("interface", join["interface_id"])["node_config_id"]
            node = rows.one("node", rows.one("nodeconfig", config)["node_id"])
            summary = {key: node[key] for key in ("system_id", "node_type", "hostname")}
            answers[-1]["node_summary"] = summary | {"fqdn": _fqdn(rows, node["hostname"], node["domain_id"])}
    return json_answer(answers)


def reserved_ips(maas: Maas, _: Request) -> Answer:
    return json_answer(
        [
            {
                "id": one["id"], "ip": one["ip"], "mac_address": one["mac_address"], "comment": one["comment"],
                "subnet": subnet(maas.rows, maas.rows.one("subnet", one["subnet_id"])),
                "resource_uri": _uri(f"reservedips/{one['id']}/"),
            }
            for one in maas.rows.all("reservedip")
        ]
    )  # fmt: skip


def ranges(maas: Maas, _: Request) -> Answer:
    return json_answer(
        [
            {
                "id": one["id"], "type": one["type"], "start_ip": one["start_ip"], "end_ip": one["end_ip"],
                "comment": one["comment"], "subnet": subnet(maas.rows, maas.rows.one("subnet", one["subnet_id"])),
                "user": {"username": maas.rows.one("auth_user", one["user_id"])["username"]},
                "resource_uri": _uri(f"ipranges/{one['id']}/"),
            }
            for one in maas.rows.all("iprange")
        ]
    )  # fmt: skip


def domains(maas: Maas, _: Request) -> Answer:
    return json_answer([domain(maas.rows, one) for one in maas.rows.all("domain")])


def dns_resources(maas: Maas, request: Request) -> Answer:
    """`all` adds the names of machines, which have the id -1."""
    rows = maas.rows
    found: list[dict[str, Any]] = [
        {
            "id": one["id"], "fqdn": _fqdn(rows, one["name"], one["domain_id"]), "address_ttl": one["address_ttl"],
            "ip_addresses": [
                {"id": each["staticipaddress_id"], "ip": rows.one("staticipaddress", each["staticipaddress_id"])["ip"]}
                for each in rows.where("dnsresource_ip_addresses", "dnsresource_id", one["id"])
            ],
            "resource_records": [
                {"id": each["id"], "ttl": each["ttl"], "rrtype": each["rrtype"], "rrdata": each["rrdata"],
                 "fqdn": _fqdn(rows, one["name"], one["domain_id"])}
                for each in rows.where("dnsdata", "dnsresource_id", one["id"])
            ],
            "resource_uri": _uri(f"dnsresources/{one['id']}/"),
        }
        for one in rows.all("dnsresource")
    ]  # fmt: skip
    if request.all("all") == ["true"]:
        found += [
            {"id": -1, "fqdn": _fqdn(rows, one["hostname"], one["domain_id"]), "ip_addresses": None,
             "address_ttl": None, "resource_records": [{"rrtype": "A", "rrdata": "10.20.0.1", "ttl": None}]}
            for one in rows.all("node")
        ]  # fmt: skip
    return json_answer(found)


def config(maas: Maas, request: Request) -> Answer:
    """One name a call; other names than those of the settings are refused."""
    name = next(iter(request.all("name")), "")
    if name not in _SETTINGS:
        raise refused(400, f"{name} is not a valid config setting")
    return json_answer(maas.rows.one("config", name, "name")["value"])


def zone(one: Row) -> dict[str, Any]:
    return _named(one) | {"resource_uri": _uri(f"zones/{one['name']}/")}


def pool(one: Row) -> dict[str, Any]:
    return _named(one) | {"resource_uri": _uri(f"resourcepool/{one['id']}/")}


def domain(rows: Rows, one: Row) -> dict[str, Any]:
    default = {each["domain_id"] for each in rows.all("globaldefault")}
    return {
        "id": one["id"], "name": one["name"], "ttl": one["ttl"], "authoritative": one["authoritative"],
        "is_default": one["id"] in default, "resource_record_count": 0, "resource_uri": _uri(f"domains/{one['id']}/"),
    }  # fmt: skip


def vlan(rows: Rows, one: Row) -> dict[str, Any]:
    fabric = rows.one("fabric", one["fabric_id"])
    return {
        "id": one["id"], "vid": one["vid"], "name": _vlan_name(one), "mtu": one["mtu"], "dhcp_on": one["dhcp_on"],
        "external_dhcp": one["external_dhcp"], "relay_vlan": None, "primary_rack": None, "secondary_rack": None,
        "fabric": fabric_name(fabric), "fabric_id": fabric["id"], "space": _space(rows, one),
        "resource_uri": _uri(f"vlans/{one['id']}/"),
    }  # fmt: skip


def subnet(rows: Rows, one: Row) -> dict[str, Any]:
    keys = (
        "id", "name", "cidr", "gateway_ip", "rdns_mode", "active_discovery", "allow_dns", "allow_proxy", "managed",
        "description", "disabled_boot_architectures",
    )  # fmt: skip
    on = rows.one("vlan", one["vlan_id"])
    return {key: one[key] for key in keys} | {
        "dns_servers": one["dns_servers"] or [], "vlan": vlan(rows, on), "space": _space(rows, on),
        "resource_uri": _uri(f"subnets/{one['id']}/"),
    }  # fmt: skip


def fabric_name(one: Row) -> str:
    return str(one["name"] or f"fabric-{one['id']}")


def _vlan_name(one: Row) -> str:
    """MAAS names a VLAN without a name."""
    return str(one["name"] or ("untagged" if one["vid"] == 0 else one["vid"]))


def _space(rows: Rows, one: Row) -> str:
    return "undefined" if one["space_id"] is None else str(rows.one("space", one["space_id"])["name"])


def _fqdn(rows: Rows, name: str, domain_id: int) -> str:
    return f"{name}.{rows.one('domain', domain_id)['name']}"


def _named(one: Row) -> dict[str, Any]:
    return {key: one[key] for key in ("id", "name", "description")}


def _none(number: int) -> int | None:
    return None if number < 0 else number


def _uri(path: str) -> str:
    return f"/MAAS/api/2.0/{path}"
