"""The calls that requests about hosts make to their services, and requests that are rejected before."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from common.values import DriverType
from regiond.api.declaration.endpoint import SiteInfo
from regiond.hosts.model import HostChange, NewHost
from regiond.hosts.removal_model import HostRemoval
from tests.unit.answers.accounts import USER_KEY
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.api_samples import ADMIN
from tests.unit.support.host_samples import CLUSTER


def test_a_host_is_created_with_the_given_fields(api: ApiDouble) -> None:
    address, password = "qemu+ssh://virsh@10.0.0.5/system", " secret "
    form = {"type": "virsh", "power_address": address, "power_user": "ignored", "power_pass": password, "tags": "a, b"}
    form |= {"zone": "east", "cpu_over_commit_ratio": "2", "default_macvlan_mode": ""}
    assert api.request("POST", "vm-hosts/", form=form).status == 200
    expected = NewHost(
        driver=DriverType.LIBVIRT,
        address=address,
        zone="east",
        tags=("a", "b"),
        cpu_over_commit_ratio=2.0,
        power_pass=password,
    )
    assert api.call("hosts.create").args == (ADMIN, expected)


@pytest.mark.parametrize(
    ("form", "field", "expected"),
    [
        ({"type": "lxd", "power_address": "http://10.0.0.5"}, "power_address", "HTTPS"),
        ({"type": "lxd", "power_address": "10.0.0.5", "project": "a/b"}, "project", "no blanks, slashes"),
        ({"type": "vmware", "power_address": "x"}, "type", "'vmware' is not one of: lxd, incus, virsh, simulated."),
        ({"type": "virsh", "power_address": "qemu:///system?command=rm"}, "power_address", "Query parameters"),
        ({"type": "virsh", "power_address": "http://x"}, "power_address", "not known"),
        ({"type": "simulated", "power_address": "simulated:s?cores=0"}, "power_address", "cores"),
        ({"power_address": "qemu:///system"}, "type", "This field is required."),
    ],
)
def test_an_invalid_new_host_is_rejected_by_field(
    api: ApiDouble, form: Mapping[str, str], field: str, expected: str
) -> None:
    (message,) = api.rejected("POST", "vm-hosts/", form=form)[field]
    assert expected in message


def test_simulated_hosts_are_rejected_unless_permitted() -> None:
    api = ApiDouble(info=SiteInfo())
    form = {"type": "simulated", "power_address": "simulated:s"}
    assert list(api.rejected("POST", "vm-hosts/", form=form)) == ["type"]


def test_an_update_passes_only_given_fields(api: ApiDouble) -> None:
    form = {"type": "virsh", "memory_over_commit_ratio": "1.5", "tags": "", "name": ""}
    assert api.request("PUT", "pods/4/", form=form).status == 200
    expected = HostChange(driver=DriverType.LIBVIRT, memory_over_commit_ratio=1.5, tags=())
    assert api.call("hosts.update").args == (ADMIN, 4, expected)


def test_the_type_of_a_host_cannot_change(api: ApiDouble) -> None:
    assert list(api.rejected("PUT", "vm-hosts/4/", form={"type": "lxd"})) == ["type"]


@pytest.mark.parametrize(
    ("text", "decompose"), [("", False), ("0", False), ("false", False), ("true", True), ("1", True)]
)
def test_only_a_true_value_decomposes(api: ApiDouble, text: str, decompose: bool) -> None:
    assert api.request("DELETE", "vm-hosts/4/", form={"decompose": text}).status == 204
    assert api.call("hosts.start_remove").args == (ADMIN, 4, HostRemoval(decompose=decompose))


@pytest.mark.parametrize(
    ("path", "name", "hosts"), [("vm-hosts/4/", "hv-01", (4,)), ("vm-clusters/1", "cloud", CLUSTER.host_ids)]
)
def test_a_dry_run_removes_nothing(api: ApiDouble, path: str, name: str, hosts: tuple[int, ...]) -> None:
    plan = api.json("DELETE", path, form={"decompose": "true", "dry_run": "true"})
    assert (plan["deleted"], plan["kept"]) == ([], [])
    assert api.call("machines.removal_plan").args == (ADMIN, name, hosts, HostRemoval(decompose=True))
    asked = {"hosts.check_removal", "machines.removal_plan", "hosts.removal_certificates"}
    assert {call.name for call in api.done()} == asked


@pytest.mark.parametrize("path", ["vm-hosts/4/", "pods/4/"])
def test_any_user_may_read_numa_nodes(api: ApiDouble, path: str) -> None:
    first, second = api.json("GET", path, op="numa", key=USER_KEY)
    assert (first["node_id"], second["node_id"]) == (0, 1)
    assert (first["cores"]["used_by_ours"], first["cores"]["used_by_others"]) == ([2], [3])
    assert [one.args for one in api.done()] == [(4,)]


def test_only_administrators_read_why_a_rack_fails(api: ApiDouble) -> None:
    near, far = api.json("GET", "vm-hosts/4/", op="racks")
    assert (near["name"], near["connected"], near["reaches"], near["reason"]) == ("rack-a", True, True, "")
    assert (far["connected"], far["reaches"], far["code"]) == (False, False, "host_unreachable")
    assert "10.0.0.9" in far["reason"]
    assert [one["reason"] for one in api.json("GET", "vm-hosts/4/", op="racks", key=USER_KEY)] == ["", ""]


def test_a_host_without_a_refresh_has_no_numa_nodes(api: ApiDouble) -> None:
    api.answers["hosts.numa"] = ()
    assert api.json("GET", "vm-hosts/5/", op="numa") == []
