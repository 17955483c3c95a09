"""Values of the power state that a machine should have. Pure."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from common.values import PowerAction
from regiond.machines.values.guest_request import MachineRequest
from regiond.operations.model import LEFT_OUT

FOUND, ACCEPTED = "found", "accepted"


@frozen(kw_only=True)
class PowerRequest(MachineRequest):
    """A change of power, as its operation stores it. `after_host`: it starts a machine since its host was away."""

    action: PowerAction
    after_host: bool = field(default=False, metadata=LEFT_OUT)

    @property
    def begins_use(self) -> str:
        return "" if self.action is PowerAction.OFF or self.after_host else "it is started"


@frozen(kw_only=True)
class WantedPower:
    """Whether a machine should run. `set_by` is the kind of an operation, `found` or `accepted`; `user` asked for it.

    `found`: it was started, or stopped and stayed so, by other means than Innkeeper. `accepted`: it was found off, and
    a person said that it should be.
    """

    on: bool
    since: datetime
    set_by: str
    user: str | None = None

    @property
    def word(self) -> str:
        return "on" if self.on else "off"


@frozen(kw_only=True)
class PowerPlan:
    """The plan of a power action. `name` is the hostname; `effects` are sentences for people."""

    name: str
    effects: tuple[str, ...]


@frozen(kw_only=True)
class EndedStock:
    """A machine that was stock until its use began. `used_by`: the name of the account that began it, if one did."""

    hostname: str
    system_id: str
    host_id: int | None
    made_by: str | None
    used_by: str | None = None


@frozen(kw_only=True)
class GuestPowerChange:
    """A change of a machine's power state that no operation made. `ended`: it was stock until then."""

    system_id: str
    hostname: str
    host_name: str
    power_before: str
    ended: EndedStock | None = None
