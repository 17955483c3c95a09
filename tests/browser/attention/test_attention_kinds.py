"""The list of what needs attention with nearly all of its kinds at once, in both themes and widths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve

from tests.integration.support.attention_conditions import CONDITIONS, Place

if TYPE_CHECKING:
    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment

_VMS = {
    "web-1": "missing", "db-1": "lost volume", "build-farm-07": "broken", "mail": "failed deployment",
    "cache": "failed release",
}  # fmt: skip
_HOSTS = {
    "oak": "unreachable", "pine": "never reached", "cedar": "rejected", "larch": "unconfirmed", "elm": "not trusted",
    "ash": "old data", "fir": "over-committed cores", "yew": "problem", "holly": "pool unavailable",
    "hazel": "pool full", "maple": "our certificate", "rowan": "pinned certificate",
}  # fmt: skip
_ELSEWHERE = ("client certificate", "rack", "discrepancy", "task of a host", "image")
_NEW, _OLD = "cd" * 32, "ab" * 32
_ERRORS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "oak": ("Cannot connect to 10.20.30.41:8443: connection refused", {}),
    "pine": ("error: Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory", {}),
    "cedar": (
        f"10.20.30.43:8443 presents the certificate {_NEW} instead of the pinned {_OLD}. If it was replaced on "
        f"purpose, accept it with: innkeeper vm-host trust 5 fingerprint={_NEW}",
        {"kind": "identity_changed", "pinned": _OLD, "offered": _NEW},
    ),
    "larch": ("larch reports the host UUID of oak", {"kind": "server_unconfirmed", "reported": "virsh/7", "host": 3}),
    "elm": (
        "LXD at 10.20.30.45:8443 does not trust Innkeeper. elm continues automatically when the server trusts "
        "Innkeeper. On that server run: c=$(curl -fsS https://region.example/MAAS/vmhost-certificate/elm) && echo "
        f'"$c" | sha256sum | grep ^{_OLD} && echo "$c" | lxc config trust add - --name innkeeper-elm --restricted '
        "--projects default — or give the host a trust token as its password.",
        {"kind": "not_trusted", "reason": "LXD does not trust Innkeeper"},
    ),
}
_ERROR = "update vm_host set error_message = $2, error_details = $3 where name = $1"


async def make_all(fleet: Deployment) -> int:
    """Makes a condition of each VM, host and other object; returns how many there are."""
    machines = {one["hostname"]: one["system_id"] for one in await fleet.get("machines/")}
    for name in _VMS:
        if name not in machines:
            machines[name] = (await fleet.compose(1, hostname=name, cores=1, memory=1024))["system_id"]
    hosts = {name: (await fleet.add_simulated(name, cores=4))["id"] for name in _HOSTS}
    place = Place(host_id=1, system_id=machines["web-1"], account_id=1)
    await fleet.compose(hosts["fir"], hostname="on-fir", cores=4, memory=1024)
    async with fleet.connection() as db:
        for name, condition in _VMS.items():
            await CONDITIONS[condition].make(db, evolve(place, system_id=machines[name]))
        for name, condition in _HOSTS.items():
            await CONDITIONS[condition].make(db, evolve(place, host_id=hosts[name]))
        for condition in _ELSEWHERE:
            await CONDITIONS[condition].make(db, place)
        for name, (message, details) in _ERRORS.items():
            await db.execute(_ERROR, name, message, json.dumps(details))
    await fleet.post("quotas/", pool="default", machines=2)
    return len(_VMS) + len(_HOSTS) + len(_ELSEWHERE) + 1


async def test_all_kinds_at_once_fit_the_pages(admin: Visitor, fleet: Deployment) -> None:
    number = await make_all(fleet)
    await admin.go("attention")
    assert await admin.page.locator("#attention li").count() == number
    paths = ("attention", "overview", "attention?kind=host_rejected", "hosts/5/vms", "hosts/7/settings", "hosts")
    assert await admin.problems_of(paths) == {}
