"""Powers an instance on and off, and waits until LXD reports the requested state."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable

import structlog
from attrs import frozen

from common.errors import DriverFailed, HostUnreachable
from common.values import PowerAction, PowerState
from rackd.drivers.lxd.connection.client import Client, Json, path
from rackd.drivers.lxd.inventory.power_states import FROZEN, STOPPED, STOPPING, power_of
from rackd.drivers.lxd.inventory.removal_facts import has_saved_memory

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

POLL_EVERY_S = 0.2
SETTLE_S = 60.0  # from LXD's completed operation to the reported state
ACTION_S = 120.0
BUSY_S = 1.0
# Incus takes minutes to give up a device that a guest without a system does not give back.
_BUSY = "instance is busy running"
# Incus keeps the word of the saved memory when it makes the root disk anew, with which the memory goes.
_STATE_GONE = re.compile(r"state file.*no such file", re.IGNORECASE | re.DOTALL)


@frozen(kw_only=True)
class PowerControl:
    """One instance. `closing` interrupts every wait; then raises HostUnreachable."""

    client: Client
    name: str
    project: str
    closing: threading.Event

    def switch(self, action: PowerAction, *, grace_s: float) -> PowerState:
        """Returns the state after `action`. Idempotent. Raises NotFound, or DriverFailed with LXD's reason."""
        if action is PowerAction.FORCE_OFF:
            return self.force_off()
        if action in {PowerAction.OFF, PowerAction.CYCLE}:
            self._shut_down(grace_s)
        if action in {PowerAction.ON, PowerAction.CYCLE}:
            return self._start()
        return PowerState.OFF

    def force_off(self) -> PowerState:
        """Forces the instance off, also from a frozen or an error state."""
        if self._status() != STOPPED:
            self._act({"action": "stop", "force": True, "timeout": -1}, unless=lambda: self._status() == STOPPED)
        return self._settled(PowerState.OFF)

    def _start(self) -> PowerState:
        status = self._status()
        if status == STOPPING:
            self._settled(PowerState.OFF)
            status = STOPPED
        if power_of(status) is not PowerState.ON:
            self._act(
                {"action": "unfreeze" if status == FROZEN else "start", "timeout": -1, **self._from_saved_memory()},
                unless=lambda: self._power() is PowerState.ON,
            )
        return self._settled(PowerState.ON)

    def _from_saved_memory(self) -> dict[str, object]:
        """Without this key, the server deletes the saved memory of an instance that it starts."""
        return {"stateful": True} if has_saved_memory(self._read()) else {}

    def _shut_down(self, grace_s: float) -> None:
        if self._power() is PowerState.ON:  # a frozen or failed instance cannot shut down
            whole_s = max(1, math.ceil(grace_s))
            try:
                self._request({"action": "stop", "force": False, "timeout": whole_s}, wait_s=whole_s + POLL_EVERY_S)
            except DriverFailed as error:
                log.info("guest_did_not_shut_down", guest=self.name, grace_s=grace_s, reason=str(error))
        self.force_off()

    def _act(self, body: dict[str, object], *, unless: Callable[[], bool]) -> None:
        """A failed request succeeds if `unless` returns True: another client was first. One that another operation on
        the instance prevents is repeated once that has ended.
        """
        ends_at = time.monotonic() + ACTION_S
        while True:
            try:
                return self._request(body, wait_s=ACTION_S)
            except DriverFailed as error:
                if unless():
                    return None
                if body.get("stateful"):
                    if not _STATE_GONE.search(str(error)):
                        raise self._not_restored(error) from error
                    log.info("saved_memory_is_gone", guest=self.name, reason=str(error))
                    body = {**body, "stateful": False}
                    continue
                if _BUSY not in str(error).lower() or time.monotonic() > ends_at:
                    raise
                log.info("guest_is_busy", guest=self.name, reason=str(error))
            if self.closing.wait(BUSY_S):
                raise HostUnreachable(f"This rack closed the connection while {self.name} was busy.")

    def _not_restored(self, error: DriverFailed) -> DriverFailed:
        command = f"{self.client.dialect.client} start --stateless {self.name} --project {self.project}"
        return DriverFailed(
            f"{self.name} was stopped with its memory saved, and cannot go on from it: {error} To start it without, "
            f"which loses that memory: {command}"
        )

    def _request(self, body: dict[str, object], *, wait_s: float) -> None:
        self.client.put(path("instances", self.name, "state"), body, project=self.project, wait_s=wait_s)

    def _status(self) -> int:
        return int(self._read()["status_code"])

    def _read(self) -> Json:
        found: Json = self.client.get(path("instances", self.name), project=self.project)
        return found

    def _power(self) -> PowerState:
        return power_of(self._status())

    def _settled(self, wanted: PowerState) -> PowerState:
        ends_at = time.monotonic() + SETTLE_S
        while self._power() is not wanted:
            if time.monotonic() > ends_at:
                raise DriverFailed(
                    f"{self.client.dialect.product} completed the request, but {self.name} did not reach "
                    f"the state '{wanted}' within {SETTLE_S:.0f} s."
                )
            if self.closing.wait(POLL_EVERY_S):
                raise HostUnreachable(
                    f"This rack closed the connection while the power state of {self.name} was changing."
                )
        return wanted
