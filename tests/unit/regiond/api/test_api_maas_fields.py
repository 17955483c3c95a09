"""Fields that clients of MAAS send or read, and that have little meaning here: accepted, or rejected in words."""

from __future__ import annotations

import pytest

from tests.unit.support.api_double import ApiDouble

MACHINE = "machines/wdpx3n/"


@pytest.mark.parametrize(("swap_size", "status"), [("0", 200), ("", 200), ("5K", 400), ("1024", 400)])
def test_swap_space_is_rejected_rather_than_dropped(api: ApiDouble, swap_size: str, status: int) -> None:
    reply = api.request("PUT", MACHINE, form={"swap_size": swap_size})
    assert reply.status == status, reply
    assert (b"user data of the deployment does" in reply.body) == (status == 400)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("bridge_all", "True", b"makes no bridges"),
        ("enable_kernel_crash_dump", "1", b"kernel crash dumps"),
        ("install_rackd", "true", b"rack controller"),
        ("hwe_kernel", "ga-22.04", b"the kernel of its image"),
        ("ephemeral_deploy", "yes", b"disk"),
        ("enable_hw_sync", "on", b"hardware"),
    ],
)
def test_a_deployment_refuses_what_is_not_done(api: ApiDouble, field: str, value: str, reason: bytes) -> None:
    reply = api.request("POST", MACHINE, op="deploy", form={field: value})
    assert (reply.status, reason in reply.body, api.done()) == (400, True, [])
    blank = "" if field == "hwe_kernel" else "false"
    form = {field: blank, "bridge_type": "standard", "bridge_stp": "False", "bridge_fd": "15"}
    assert api.request("POST", MACHINE, op="deploy", form=form).status == 200


def test_a_deployment_ignores_what_has_no_effect(api: ApiDouble) -> None:
    reply = api.request("POST", MACHINE, op="deploy", form={"vcenter_registration": "true"})
    assert (reply.status, reply.headers["Warning"]) == (200, '299 - "Ignored fields: vcenter_registration"')


@pytest.mark.parametrize("verbose", ["true", "1", "True"])
def test_an_allocation_can_be_verbose(api: ApiDouble, verbose: str) -> None:
    found = api.json("POST", "machines/", op="allocate", form={"verbose": verbose})
    inside = found["constraints_by_type"]
    for key in ("verbose_storage", "verbose_interfaces"):
        assert inside[key] == found[key]
    assert not {"verbose_storage", "verbose_interfaces"} & {
        *api.json("POST", "machines/", op="allocate")["constraints_by_type"]
    }


def test_machines_have_the_keys_of_newer_releases(api: ApiDouble) -> None:
    machine = api.json("GET", MACHINE)
    shown = {name: machine[name] for name in ("interface_test_status", "enable_kernel_crash_dump", "is_dpu")}
    assert shown == {"interface_test_status": None, "enable_kernel_crash_dump": False, "is_dpu": False}
    assert machine["interface_test_status_name"] is None


def test_errors_by_field_are_one_line_as_from_maas(api: ApiDouble) -> None:
    reply = api.request("POST", "machines/", op="allocate", form={"bogus": "1"})
    assert reply.body == b'{"bogus": ["No such constraint."]}'
