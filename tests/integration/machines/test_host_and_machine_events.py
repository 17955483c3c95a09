"""Events say which machine they are of, what changed, and on whose behalf."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import kinds_of_events, refresh, rows


async def events_of(innkeeper: Deployment, **filters: str) -> dict[str, Any]:
    """Returns the events by kind."""
    answer = await innkeeper.api.send("GET", "events/", query=[("op", "query"), *filters.items()])
    return {event["kind"]: event for event in answer.json()["events"]}


async def test_a_machine_lists_what_was_found_of_its_guest(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web")
    rows(innkeeper, "update guest set power = 'on'")
    await refresh(innkeeper, host)
    rows(innkeeper, "delete from guest")
    await refresh(innkeeper, host)
    found = await events_of(innkeeper, id=machine["system_id"])
    assert found["machine_missing"]["description"] == "web: its guest is missing on sim"
    changed = found["machine_power_changed"]
    assert changed["description"] == "web: its power state changed from off to on on sim"
    assert (changed["node"], changed["host_name"]) == (machine["system_id"], "sim")


async def test_events_of_an_operation_name_the_user_who_asked(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"])
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    found = await events_of(innkeeper)
    kinds = ("machine_composed", "machine_deleted", "host_removed")
    assert {kind: found[kind]["username"] for kind in kinds} == dict.fromkeys(kinds, "admin")


async def test_an_unreachable_host_is_recorded_by_one_plain_kind(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    rows(innkeeper, "alter table guest rename column name to hidden")
    with pytest.raises(InnkeeperError):
        await refresh(innkeeper, host)
    rows(innkeeper, "alter table guest rename column hidden to name")
    await refresh(innkeeper, host)
    found = [kind for kind in await kinds_of_events(innkeeper) if "unreachable" in kind]
    assert found == ["host_unreachable"]
