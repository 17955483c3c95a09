"""Requests that start an operation wait for it, or with respond-async return it without waiting."""

from __future__ import annotations

from functools import partial

import pytest
from attrs import evolve

from common.errors import OperationPending, OutOfCapacity, RackUnreachable
from common.words.operation_kinds import OperationKind
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.operations.idempotency.model import StoredKey
from regiond.operations.model import Operation, OperationState
from tests.unit.answers.machines import CHANGES
from tests.unit.support.api_double import ApiDouble, json_of
from tests.unit.support.api_samples import ADMIN
from tests.unit.support.good_requests import ENDPOINTS, name_of, request
from tests.unit.support.host_samples import HOST
from tests.unit.support.machine_samples import FAILED, OPERATION, RUNNING

REFRESHING = evolve(RUNNING, kind=OperationKind.REFRESH)


def test_a_request_waits_for_its_operation(api: ApiDouble) -> None:
    api.answers["hosts.start_refresh"] = REFRESHING
    assert api.json("POST", "vm-hosts/4/", op="refresh")["id"] == HOST.id
    call = api.call("operations.wait")
    assert (call.args, call.named) == ((77,), {"timeout_s": pytest.approx(120, abs=1), "caller": ADMIN, "is_new": True})


@pytest.mark.parametrize("prefer", ["respond-async", "Respond-Async, wait=10", "wait=10; x=1, respond-async;y=2"])
def test_respond_async_returns_the_operation(api: ApiDouble, prefer: str) -> None:
    api.answers["composer.start_compose"] = RUNNING
    reply = api.request("POST", "vm-hosts/4/", op="compose", prefer=prefer)
    assert (reply.status, reply.headers["Location"]) == (202, "/MAAS/api/2.0/operations/77/")
    assert json_of(reply)["state"] == "running"
    assert api.call("composer.start_compose").named["need_rack"] is False


def test_a_wait_that_times_out_names_the_operation(api: ApiDouble) -> None:
    api.answers.update(
        {"hosts.start_refresh": REFRESHING, "operations.wait": OperationPending("It continues.", operation=77)}
    )
    reply = api.request("POST", "vm-hosts/4/", op="refresh")
    assert (reply.status, reply.headers["Location"]) == (504, "/MAAS/api/2.0/operations/77/")


@pytest.mark.parametrize(("prefer", "waited_s"), [("", 8.0), ("wait=3", 8.0), ("wait=30", 30.0), ("wait=999", 120.0)])
def test_a_compose_waits_eight_seconds_or_as_long_as_preferred(api: ApiDouble, prefer: str, waited_s: float) -> None:
    api.answers["composer.start_compose"] = RUNNING
    api.request("POST", "vm-hosts/4/", op="compose", prefer=prefer)
    assert api.call("operations.wait").named["timeout_s"] == pytest.approx(waited_s, abs=1)


def test_a_compose_that_continues_answers_with_its_announced_machine(api: ApiDouble) -> None:
    api.answers.update({"composer.start_compose": RUNNING, "operations.wait": OperationPending("It continues.")})
    assert api.json("POST", "vm-hosts/4/", op="compose")["system_id"] == RUNNING.system_id
    assert api.call("machines.announce").args == (RUNNING,)


def test_a_compose_that_fails_as_it_is_announced_answers_its_error(api: ApiDouble) -> None:
    waited = iter([OperationPending("It continues."), FAILED])
    api.answers.update({"composer.start_compose": RUNNING, "operations.wait": lambda *_: next(waited)})
    api.answers["machines.announce"] = False
    assert api.request("POST", "vm-hosts/4/", op="compose").status == 503


@pytest.mark.parametrize("prefer", ["wait", "wait=", "wait=x", "wait=-3", "wait=\u0661", "wait=9999999"])
def test_an_odd_preference_is_ignored(api: ApiDouble, prefer: str) -> None:
    api.answers["composer.start_compose"] = RUNNING
    api.request("POST", "vm-hosts/4/", op="compose", prefer=prefer)
    assert api.call("operations.wait").named["timeout_s"] == pytest.approx(8, abs=1)


def test_a_failed_operation_returns_its_error(api: ApiDouble) -> None:
    api.answers.update({"composer.start_compose": RUNNING, "operations.wait": FAILED})
    reply = api.request("POST", "vm-hosts/4/", op="compose")
    assert (reply.status, reply.body) == (503, b"needs 4 cores, 1 of 4 free")
    assert "Retry-After" not in reply.headers


def test_an_operation_that_failed_for_lack_of_a_rack_is_not_repeated(api: ApiDouble) -> None:
    ended = evolve(FAILED, error_code=RackUnreachable.code, error_message="No rack.")
    api.answers.update({"hosts.start_refresh": REFRESHING, "operations.wait": ended})
    reply = api.request("POST", "vm-hosts/4/", op="refresh", idempotency_key="k")
    assert (reply.status, reply.body, reply.headers.get("Retry-After")) == (503, b"No rack.", None)


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [(OutOfCapacity("needs 4 cores, 1 free"), 503, None), (RackUnreachable("No rack."), 503, "10")],
)
def test_errors_of_the_services_become_responses(
    api: ApiDouble, error: Exception, status: int, retry_after: str | None
) -> None:
    api.answers["composer.start_compose"] = error
    reply = api.request("POST", "vm-hosts/4/", op="compose")
    assert (reply.status, reply.headers.get("Retry-After")) == (status, retry_after)


@pytest.mark.parametrize("key", ["x" * 256, "a\x01b"])
def test_an_unusable_idempotency_key_is_rejected(api: ApiDouble, key: str) -> None:
    assert api.request("POST", "vm-hosts/4/", op="compose", idempotency_key=key).status == 400
    assert not api.done()


def test_a_repeat_waits_too_for_the_removal_of_a_host_on_a_machine(api: ApiDouble) -> None:
    on_machine = evolve(HOST, machine_system_id="wdpx3n")
    api.answers.update({"hosts.read": on_machine, "hosts.start_remove": RUNNING, "operations.read": RUNNING})
    api.request("DELETE", "vm-hosts/4/", idempotency_key="k")
    ((place, stored),) = api.keys.stored.items()
    api.keys.stored[place] = StoredKey(digest=stored.digest, operation_id=RUNNING.id)
    api.request("DELETE", "vm-hosts/4/", idempotency_key="k")
    assert [one.named["timeout_s"] for one in api.calls if one.name == "operations.wait"] == [
        pytest.approx(120, abs=1)
    ] * 2


QUICK = {
    OperationKind.COMPOSE, OperationKind.DELETE, OperationKind.REMOVE_HOST, OperationKind.POWER, OperationKind.RELEASE,
}  # fmt: skip
# What they answer at once shows that the operation continues: a machine that is Deploying, an export, an import.
AT_ONCE = {"MachineHandler.deploy", "MachineHandler.rebuild", "MachineHandler.export", "MaasImportHandler.apply"}
WITHOUT_OPERATION = {
    "VmHostHandler.adopt", "PodHandler.adopt", "VirtualMachineHandler.adopt", "VmClusterHandler.delete",
    "InterfacesHandler.create_physical", "InterfaceHandler.delete", "InterfaceHandler.update",
    "BlockDeviceHandler.update",
}  # fmt: skip
STARTING = [one for one in ENDPOINTS if one[1].waits_for_operation]


@pytest.mark.parametrize(("resource", "endpoint"), STARTING, ids=[name_of(*one) for one in STARTING])
def test_no_change_is_answered_as_done_before_its_end(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> None:
    """Also that of an endpoint to come: only the kind of an operation decides, and most have to end."""
    starts = {name: answer for name, answer in api.answers.items() if isinstance(answer, Operation)}
    running = partial(evolve, kind=OperationKind.ADD_DISK, state=OperationState.RUNNING)
    api.answers.update({name: running(answer) for name, answer in starts.items()})
    api.answers["hardware.start"] = lambda *args: running(CHANGES[type(args[2])][0])
    api.answers["operations.wait"] = OperationPending("It continues.", operation=77)
    reply = request(api, resource, endpoint)
    if name_of(resource, endpoint) in AT_ONCE:
        assert reply.status == endpoint.success
    elif any(call.name in {*starts, "hardware.start"} for call in api.calls):
        assert reply.status == 504, reply
    else:  # a device has no host, and an adoption answers what becomes of each guest
        assert name_of(resource, endpoint) in WITHOUT_OPERATION


@pytest.mark.parametrize("kind", list(OperationKind))
def test_few_kinds_of_operations_are_answered_while_they_continue(api: ApiDouble, kind: OperationKind) -> None:
    begun = evolve(RUNNING, kind=kind)
    api.answers.update({"machines.start_power": begun, "operations.wait": OperationPending("It continues.")})
    status = 200 if kind in QUICK else 504
    assert api.request("POST", "machines/wdpx3n/", op="power_on").status == status


def test_a_request_waits_at_most_so_long_in_all(api: ApiDouble) -> None:
    """The bound holds for the request, not for the part of it that waits."""
    api.answers.update({"hardware.start": evolve(RUNNING, kind=OperationKind.RESIZE), "operations.wait": OPERATION})
    api.json("POST", "machines/wdpx3n/", op="resize", form={"cores": "2"})
    assert 0 < api.call("operations.wait").named["timeout_s"] <= api.info.wait_s
