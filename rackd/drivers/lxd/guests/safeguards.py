"""Refuses what a server would do to an instance beyond what was asked for, before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from common.errors import WrongState
from common.values import PowerAction, PowerState
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.ownership import DEFAULT_PROJECT
from rackd.drivers.lxd.inventory.power_states import power_of
from rackd.drivers.lxd.inventory.removal_facts import (
    START_PROTECTION,
    has_saved_memory,
    is_ephemeral,
    permanence_command,
    protection_of,
    removal_facts_of,
)
from rackd.drivers.removal_checks import check_not_protected

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

Instance = Mapping[str, Any]

_STARTS = frozenset({PowerAction.ON, PowerAction.CYCLE})


def check_deletable(instances: Instances, *found: Instance) -> None:
    """Raises WrongState if the server refuses to delete one of these instances."""
    for one in found:
        check_not_protected(str(one["name"]), removal_facts_of(one, (), instances.capabilities))


def check_power(instances: Instances, found: Instance, action: PowerAction) -> None:
    """Raises WrongState for an instance that its server deletes at power-off, and for one that it does not start.

    An ephemeral instance is not started either: its system can shut down at any time.
    """
    name, power, dialect = str(found["name"]), power_of(int(found["status_code"])), instances.capabilities.dialect
    starts = action is PowerAction.CYCLE or (action is PowerAction.ON and power is PowerState.OFF)
    ends = action is not PowerAction.ON and power is not PowerState.OFF
    if is_ephemeral(found) and (starts or ends):
        raise WrongState(
            f"{name} is ephemeral: {dialect.product} deletes it, with its root disk, as soon as it is off. Nothing was "
            f"changed. Make it permanent first: {permanence_command(found, dialect)}",
            name=name,
        )
    protection = protection_of(found, START_PROTECTION, dialect) if starts else ""
    if protection:
        raise WrongState(f"{name} is not started, and nothing was changed: {protection}", name=name)


def check_no_saved_memory(instances: Instances, found: Instance, *, what: str) -> None:
    """Raises WrongState for saved memory: a change of `what`, such as "its size", would keep it from being restored."""
    if has_saved_memory(found):
        name, client = str(found["name"]), instances.capabilities.dialect.client
        raise WrongState(
            f"{name} was stopped with its memory saved: {what} cannot change before its next start, which goes on from "
            f"that memory. Start it, or start it without, which loses it: {client} start --stateless {_quoted(found)}",
            name=name,
        )


def _quoted(found: Instance) -> str:
    project = str(found.get("project") or DEFAULT_PROJECT)
    return f"{found['name']} --project {project}"
