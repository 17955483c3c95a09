"""Reads the console log of an instance, and opens its console."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from common.errors import Busy, DriverFailed, InnkeeperError, NotFound, Unsupported
from common.values import GuestRef
from rackd.drivers.driver_errors import guest_is_off
from rackd.drivers.lxd.connection.client import path
from rackd.drivers.lxd.connection.console_stream import ConsoleOperation, LxdConsole
from rackd.drivers.lxd.connection.websocket import NotRunning
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.operation_subjects import instances_of, is_console

OFF = frozenset({"Stopped", "Error"})
_TRIES, _RETRY_S = 5, 0.4  # LXD ends a console a moment after its user has gone
TAKEN = "already connected"  # what Incus answers while a console or the screen of the VM is open
_NO_LOG = "not container type"  # what LXD answers for a virtual machine if it keeps a log of containers only


def read_log(instances: Instances, guest: GuestRef, *, max_bytes: int) -> bytes:
    """Returns the end of LXD's console log. Raises Unsupported if LXD keeps none of virtual machines."""
    found = instances.of_machine(guest)
    try:
        response = instances.client.request(
            "get", path("instances", found["name"], "console"), params={"project": instances.scope.project}
        )
    except NotFound:
        return b""  # never started
    except DriverFailed as error:
        if _NO_LOG not in str(error):
            raise
        raise Unsupported(
            f"This release of {instances.product} keeps no console log of virtual machines, such as {guest.name}."
        ) from error
    return bytes(response.content)[-max_bytes:]


def open_console(instances: Instances, guest: GuestRef) -> LxdConsole:
    """Errors are those of the driver contract."""
    found = instances.of_machine(guest)
    if found.get("status") in OFF:
        raise guest_is_off(guest)
    for left in reversed(range(_TRIES)):
        try:
            operation = open_operation(instances, found["name"], {"type": "console", "width": 80, "height": 24})
            return LxdConsole.connect(instances.client, operation, ends_itself=True)
        except NotRunning as error:
            if not left:
                raise Busy(
                    f"The console of {guest.name} is in use. If nobody uses it, {instances.product} has kept one whose "
                    "rack was cut off; it is free again after the VM is restarted."
                ) from error
            time.sleep(_RETRY_S)
        except DriverFailed as error:
            if "not running" in str(error).lower():
                raise guest_is_off(guest) from error
            if TAKEN not in str(error).lower():
                raise
            if not left:
                raise Busy(
                    f"The console of {guest.name} is in use, or its screen is open: {instances.client.place} lets only "
                    f"one of them be open. Close it, or try again.{how_to_end(instances, found['name'])}"
                ) from error
            time.sleep(_RETRY_S)
    raise AssertionError("unreachable")


def how_to_end(instances: Instances, name: str) -> str:
    """Returns sentences with the commands that end what is open; empty if nothing is known, or the server does not say.

    Incus 6.0 keeps a console for ever that was offered to a rack which was killed before it connected. It looks like
    one that somebody uses, so only a person can tell.
    """
    try:
        listed = instances.client.get("operations", recursion="1", project=instances.scope.project) or {}
    except InnkeeperError:  # the caller has an error of its own, which this must not replace
        return ""
    found = [one for one in listed.get("running") or () if is_console(one) and name in instances_of(one)]
    if not found:
        return ""
    times = [_in_utc(str(one.get("created_at"))) for one in found]
    since = "" if None in times else f" It is open since {', '.join(map(str, times))} (UTC)."
    # Each runs even if another finds that its console has ended meanwhile.
    command = "; ".join(f"{instances.client.dialect.client} operation delete {one['id']}" for one in found)
    return f"{since} If nobody uses it, as after a rack that was killed, end it with: {command}"


def _in_utc(text: str) -> str | None:
    """Returns a time of the server, which is in its own time zone; None for one that cannot be read."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return f"{found.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" if found.tzinfo is not None else None


def open_operation(instances: Instances, name: str, wanted: Mapping[str, object]) -> ConsoleOperation:
    """Makes the server offer a console of an instance, to which nothing is connected yet."""
    response = instances.client.request(
        "post", path("instances", name, "console"),
        params={"project": instances.scope.project}, json=dict(wanted),
    ).json()  # fmt: skip
    operation = response["metadata"]
    secrets = operation["metadata"]["fds"]
    return ConsoleOperation(
        id=str(operation["id"]), data_secret=str(secrets["0"]), control_secret=str(secrets["control"])
    )
