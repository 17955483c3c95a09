"""Deployments: the request, the row, and the time limits. Pure."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from enum import StrEnum

from attrs import field, frozen

from common.guests.deployment_spec import ImageRef
from common.guests.guest_spec import GuestSpec
from common.values import Guest
from regiond.machines.running.deployment.vm_host.model import VmHostSetup

_FIRST_LOOK_S = 2.0  # if a wake was lost
_LAST_LOOK_S = 30.0


class DeploymentState(StrEnum):
    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    FAILED = "failed"
    ERASED = "erased"  # a release has begun to empty the root disk


@frozen(kw_only=True)
class Deployment:
    """A deployment. `waited_s` is the time since the guest was powered on, `reported_s` since its report.

    Both are by the database's clock. `user_data_fetches` is the number of times the guest has fetched its user data;
    None if its hypervisor stores them.
    """

    id: int
    machine_id: int
    operation_id: int
    state: DeploymentState
    image: ImageRef
    osystem: str
    distro_series: str
    sealed_user_data: bytes | None = field(repr=False)
    secret_hash: bytes | None = field(repr=False)
    booted_at: datetime | None
    reported_at: datetime | None
    waited_s: float | None
    reported_s: float | None
    user_data_fetches: int | None = None
    vm_host: VmHostSetup | None = None

    def is_secret(self, secret: str) -> bool:
        """Returns whether the guest has this secret; False before the root disk is written."""
        return self.secret_hash is not None and hmac.compare_digest(hash_of(secret), self.secret_hash)

    @property
    def lacks_user_data(self) -> bool:
        return self.user_data_fetches == 0

    @property
    def offers_user_data(self) -> bool:
        """Whether the guest may fetch its user data, which it may until it has reported."""
        return None not in (self.user_data_fetches, self.sealed_user_data) and self.reported_at is None


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def lacks_address(spec: GuestSpec, guest: Guest) -> bool:
    """Returns whether the NIC that boots is known to have no address yet, and should get one by DHCP."""
    boot = next((nic for nic in spec.nics if nic.boot), spec.nics[0] if spec.nics else None)
    if boot is None or boot.address is not None or not boot.configured:
        return False
    found = next((nic for nic in guest.nics if nic.mac_address.lower() == boot.mac_address.lower()), None)
    return found is not None and found.addresses == ()


def next_look_s(waited_s: float, limit_s: float) -> float:
    """Returns in how many seconds an operation whose guest has not reported checks again, if nothing wakes it."""
    return max(0.1, min(_LAST_LOOK_S, max(_FIRST_LOOK_S, waited_s / 4), limit_s - waited_s))
