"""Domains and static DNS names by the API, as clients of MAAS use them, and the zone file."""

from __future__ import annotations

import pytest

from innkeeper.request_body import Body
from tests.deployment.deployment import Deployment
from tests.support.rejections import invalid_fields, rejection


async def test_a_name_is_created_found_changed_and_deleted(innkeeper: Deployment) -> None:
    made = await innkeeper.post("dnsresources/", fqdn="Api.maas", address_ttl="10", ip_addresses="")
    assert (made["fqdn"], made["address_ttl"], made["ip_addresses"]) == ("api.maas", 10, [])
    path = f"dnsresources/{made['id']}/"
    changed = await innkeeper.put(path, ip_addresses="10.0.0.7 10.0.0.6")
    assert ([one["ip"] for one in changed["ip_addresses"]], changed["address_ttl"]) == (["10.0.0.7", "10.0.0.6"], 10)
    assert changed["resource_uri"] == f"/MAAS/api/2.0/{path}"
    for wanted in ("fqdn=api.maas", "name=api&domain=maas", "domain=0&rrtype=A", "all=true"):
        assert await innkeeper.get(f"dnsresources/?{wanted}") == [changed], wanted
    for other in ("fqdn=maas", "rrtype=AAAA", "rrtype=cname"):
        assert await innkeeper.get(f"dnsresources/?{other}") == [], other
    for field, unknown in (("domain", "7"), ("domain", "nowhere"), ("rrtype", "AAA")):
        assert [*await invalid_fields(innkeeper.get(f"dnsresources/?{field}={unknown}"))] == [field]
    assert (await innkeeper.put(path, address_ttl="20"))["ip_addresses"] == changed["ip_addresses"]
    assert (await innkeeper.put(path, ip_addresses=""))["ip_addresses"] == []
    assert (await innkeeper.delete(path)).status == 204
    assert await innkeeper.get("dnsresources/") == []


async def test_a_domain_is_created_and_is_deleted_when_it_is_empty(innkeeper: Deployment) -> None:
    lab = await innkeeper.post("domains/", name="Lab.example.", ttl="300", authoritative="False")
    assert (lab["name"], lab["ttl"], lab["is_default"], lab["authoritative"]) == ("lab.example", 300, False, False)
    name = await innkeeper.post("dnsresources/", name="www", domain="lab.example", ip_addresses="10.0.0.8")
    assert (name["fqdn"], (await innkeeper.get("domains/lab.example/"))["resource_record_count"]) == (
        "www.lab.example", 1,
    )  # fmt: skip
    renamed = await innkeeper.put(f"domains/{lab['id']}/", name="lab2.example")
    assert (renamed["ttl"], (await innkeeper.get(f"dnsresources/{name['id']}/"))["fqdn"]) == (300, "www.lab2.example")
    error = await rejection(innkeeper.delete("domains/lab2.example/"))
    assert (error.details["status"], "1 static name" in error.message) == (409, True)
    await innkeeper.delete(f"dnsresources/{name['id']}/")
    assert (await innkeeper.delete("domains/lab2.example/")).status == 204
    assert [one["name"] for one in await innkeeper.get("domains/")] == ["maas"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("domains/", {"name": "maas"}),
        ("domains/", {"name": "a b"}),
        ("dnsresources/", {"name": "www"}),
        ("dnsresources/", {"fqdn": "www.nowhere"}),
        ("dnsresources/", {"name": "www", "domain": "nowhere"}),
        ("dnsresources/", {"fqdn": "taken.maas"}),
        ("dnsresources/", {"fqdn": "www.maas", "ip_addresses": "ten"}),
    ],
)
async def test_what_is_no_name_is_rejected(innkeeper: Deployment, path: str, fields: dict[str, str]) -> None:
    await innkeeper.post("dnsresources/", fqdn="taken.maas")
    error = await rejection(innkeeper.api.send("POST", path, body=Body(fields=list(fields.items()))))
    assert error.details["status"] == 400


async def test_the_default_domain_stays(innkeeper: Deployment) -> None:
    assert (await innkeeper.put("domains/0/", name="maas", ttl="60"))["ttl"] == 60
    assert (await innkeeper.post("domains/0/", op="set_default"))["is_default"] is True
    other = await innkeeper.post("domains/", name="lab")
    for call in (
        innkeeper.put("domains/0/", name="other"),
        innkeeper.delete("domains/0/"),
        innkeeper.post(f"domains/{other['id']}/", op="set_default"),
    ):
        assert (await rejection(call)).details["status"] == 400


async def test_a_zone_file_has_the_addresses_that_machines_have_now(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(networks="dmz:10.1.0.0/24:100")
    fox = await innkeeper.compose(host["id"], hostname="fox", interfaces="eth0:ip=10.1.0.7")
    await innkeeper.post("dnsresources/", fqdn="www.maas", ip_addresses="10.1.0.7", address_ttl="60")
    assert (await zone_file(innkeeper))[5:] == ["fox IN A 10.1.0.7", "www 60 IN A 10.1.0.7"]
    await innkeeper.delete(f"machines/{fox['system_id']}/")
    assert (await zone_file(innkeeper))[5:] == ["www 60 IN A 10.1.0.7"]


async def zone_file(innkeeper: Deployment) -> list[str]:
    reply = await innkeeper.api.send("GET", "domains/maas/?op=zone_file")
    return reply.body.decode().splitlines()


async def test_every_change_is_an_event(innkeeper: Deployment) -> None:
    lab = await innkeeper.post("domains/", name="lab.example")
    await innkeeper.put("domains/lab.example/", ttl=300)
    name = await innkeeper.post("dnsresources/", fqdn="www.lab.example", ip_addresses="10.0.0.8")
    path = f"dnsresources/{name['id']}/"
    for _ in range(2):  # the second changes nothing
        await innkeeper.put(path, name="web", ip_addresses=" ".join(f"10.0.0.{number}" for number in range(1, 7)))
        await innkeeper.put(f"domains/{lab['id']}/", ttl=300)
    await innkeeper.delete(f"{path}?dry_run=true")
    await innkeeper.put(path, ip_addresses="")
    await innkeeper.delete(path)
    await innkeeper.delete("domains/lab.example/")
    found = (await innkeeper.get("events/?op=query&limit=1000"))["events"][::-1]
    assert [(one["kind"], one["description"]) for one in found if one["kind"].startswith(("dns_", "domain_"))] == [
        ("domain_created", "The domain 'lab.example' was created."),
        ("domain_changed", "The domain 'lab.example' was changed."),
        ("dns_name_created", "The DNS name www.lab.example was created, with 10.0.0.8."),
        (
            "dns_name_changed",
            "The DNS name www.lab.example was changed to web.lab.example, "
            "with 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 2 more.",
        ),
        ("dns_name_changed", "The DNS name web.lab.example was changed, without addresses."),
        ("dns_name_deleted", "The DNS name web.lab.example was deleted."),
        ("domain_deleted", "The domain 'lab.example' was deleted."),
    ]
    assert {one["username"] for one in found if one["kind"].startswith("d")} == {"admin"}
