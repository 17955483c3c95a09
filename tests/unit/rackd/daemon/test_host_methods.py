"""Each command that is declared as a method of the drivers fits the contract, and is called as declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args, get_type_hints
from uuid import uuid4

import pytest
from attrs import fields, frozen

from common.boot import IsoState
from common.rpc.commands.command import Done
from common.rpc.commands.hardware_commands import (
    HOST_DETACH_DISK,
    HOST_EJECT_ISO,
    HOST_END_READ,
    DetachDiskCall,
    EjectIsoCall,
    EndReadCall,
)
from common.rpc.commands.host_commands import HOST_FIND, Fence, FoundGuest, GuestCall, PowerReply
from common.rpc.commands.host_method import CallClass, HostMethod
from common.values import DriverType, GuestRef, HostAccess, OwnershipMarker, PowerState
from rackd.drivers.contract import Driver
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.simulated.driver import SimulatedDriver
from rackd.executor import Executor
from rackd.fenced_calls import FencedCalls
from rackd.fencing_tokens import FencingTokens
from rackd.host_methods import HOST_METHODS, method_handlers
from tests.doubles.signatures import in_place_of

MARKER = OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())
GUEST = GuestRef(name="web", marker=MARKER)
ACCESS = HostAccess(
    host_id=1, driver=DriverType.SIMULATED, address="simulated:host", installation_id=MARKER.installation_id
)
FENCE = Fence(machine_id=str(MARKER.machine_id), operation_id=1, attempt=1)
each_method = pytest.mark.parametrize("method", [pytest.param(one, id=one.method) for one in HOST_METHODS])


@each_method
def test_the_fields_of_a_request_are_what_the_method_takes(method: HostMethod[Any, Any]) -> None:
    takes, has = get_type_hints(getattr(Driver, method.method)), get_type_hints(method.request)
    result = takes.pop("return")
    assert [*takes] == [*method.arguments]
    for name in method.arguments:
        assert takes[name] == has[name] or get_args(takes[name])[0] == get_args(has[name])[0], name
    if method.reply is Done:
        assert result is type(None)
    elif result != method.reply:
        assert result == get_type_hints(method.reply)[fields(method.reply)[0].name]


@each_method
@pytest.mark.parametrize("driver", [LxdDriver, LibvirtDriver, SimulatedDriver])
def test_drivers_name_the_arguments_as_the_contract_does(method: HostMethod[Any, Any], driver: type[Driver]) -> None:
    assert [*inspect.signature(getattr(driver, method.method)).parameters] == ["self", *method.arguments]


@frozen
class _Executor:
    """Runs each call at once, on a driver whose methods return `result`."""

    result: Any
    calls: list[tuple[str, Any, dict[str, Any]]]

    async def run(self, access: HostAccess, work: Callable[[Any], Any], **how: Any) -> Any:
        return work(_Driver(self, how))


@frozen
class _Driver:
    executor: _Executor
    how: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        def method(**arguments: Any) -> Any:
            self.executor.calls.append((name, arguments, self.how))
            return self.executor.result

        return method


EMPTY = IsoState(now="", after="")
OF_DISK: dict[str, Any] = {"guest": GUEST, "pool_id": "p", "volume": "v"}


@pytest.mark.parametrize(
    ("method", "call", "result", "reply"),
    [
        (
            HOST_DETACH_DISK,
            DetachDiskCall(access=ACCESS, fence=FENCE, **OF_DISK),
            PowerState.ON,
            PowerReply(power=PowerState.ON),
        ),
        (HOST_END_READ, EndReadCall(access=ACCESS, fence=FENCE, **OF_DISK), None, Done()),
        (HOST_FIND, GuestCall(access=ACCESS, guest=GUEST), None, FoundGuest(guest=None)),
        (HOST_EJECT_ISO, EjectIsoCall(access=ACCESS, guest=GUEST, fence=FENCE), EMPTY, EMPTY),
    ],
)
async def test_a_call_is_made_and_answered_as_declared(
    method: HostMethod[Any, Any], call: Any, result: Any, reply: Any
) -> None:
    double = _Executor(result, [])
    executor = in_place_of(Executor, double)
    handled: Any = method_handlers(executor, FencedCalls(executor, FencingTokens()))[method](None, call)
    assert await handled == reply
    ((name, arguments, how),) = double.calls
    assert (name, arguments) == (method.method, {one: getattr(call, one) for one in method.arguments})
    assert (how["what"], how["call_class"]) == (method.what, method.call_class)
    assert how.get("machine_id") == (MARKER.machine_id if hasattr(call, "fence") else None)


def test_a_method_is_named_as_it_is_unless_it_has_another_name() -> None:
    assert (HOST_DETACH_DISK.what, HOST_DETACH_DISK.call_class) == ("detach disk", CallClass.LONG_RUNNING)
    assert (HOST_EJECT_ISO.what, HOST_EJECT_ISO.call_class) == ("eject ISO", CallClass.ORDERED)
