"""Measures the web pages in Chromium with 500 hosts and 20,000 VMs: first render, and from a change to the page."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.bench.daemons import prefilled_region_alone
from tests.bench.figures import ui
from tests.bench.measuring import Bench, CannotMeasure, Line
from tests.deployment.deployment import Deployment

if TYPE_CHECKING:
    from tests.browser.support.visitor import Visitor

PLACES = (
    ui.Place(key="large.overview", what="overview, 20,000 VMs", path="overview", changes=False),
    ui.Place(key="large.hosts", what="hosts, 200 of 500", path="hosts?size=200", changes=False),
    ui.Place(
        key="large.hosts.groups", what="hosts, 200 of 500, by zone", path="hosts?size=200&group=zone", changes=False
    ),
    ui.Place(key="large.vms", what="VMs, 200 of 20,000", path="vms?size=200", changes=False),
    ui.Place(key="large.vms.search", what="VMs, searched for vm-77", path="vms?q=vm-77&size=200", changes=False),
    ui.Place(key="large.vms.groups", what="VMs, 200 of 20,000, by host", path="vms?size=200&group=host", changes=False),
    ui.Place(key="large.tasks", what="tasks", path="tasks?size=200", changes=False),
    ui.Place(key="large.compose", what="compose, 500 hosts", path="compose", changes=False),
)


async def measure(bench: Bench) -> list[Line]:
    try:
        from tests.browser.support.chromium import CHROMIUM, chromium  # only these figures need a browser
        from tests.browser.support.fleet import add_administrator_with_password
        from tests.browser.support.visitor import visitor
    except ImportError as missing:
        raise CannotMeasure(str(missing)) from missing
    if shutil.which(CHROMIUM) is None:
        raise CannotMeasure(f"{CHROMIUM} is missing")
    hosts, each = bench.size(500, 50), bench.size(40, 20)
    async with prefilled_region_alone(bench, hosts=hosts, machines_each=each) as deployment, chromium() as browser:
        await add_administrator_with_password(deployment)
        came = await visitor(browser, deployment, "mira")
        await came.log_in()
        machine = await _first_of_the_list(deployment)
        lines = [await ui.measured_page(deployment, came, place, machine, bench.size(20, 5)) for place in PLACES]
        lines.append(await _changes(deployment, came, machine, bench.size(50, 10)))
    return lines


async def _first_of_the_list(deployment: Deployment) -> Mapping[str, Any]:
    (row,) = await deployment.fetch("select id, system_id, hostname, host_id from machine order by hostname limit 1")
    return dict(row)


async def _changes(deployment: Deployment, came: Visitor, machine: Mapping[str, Any], times: int) -> Line:
    """Times each change of a power state in the database until the open list of VMs shows it."""
    await came.go("vms?size=200")
    await ui.live(came)
    each = []
    for number in range(times):
        waiting = await came.page.evaluate_handle(ui.NEXT_POWER, f"vm-{machine['system_id']}")
        began = time.time()
        power = "off" if number % 2 else "on"
        await deployment.fetch("update machine set power_state = $2 where id = $1", machine["id"], power)
        await deployment.fetch("select notify_changed(array['vms'], '{}', '{}')")
        shown_at = await waiting.evaluate("(holder) => holder.shown")
        if shown_at is None:
            raise RuntimeError(f"the page did not show that {machine['hostname']} is {power}")
        each.append(shown_at - began * 1000)
    return Line(
        key="ui.large.event",
        what="from a change in the database to the open list of 20,000 VMs",
        wanted=f"p99 ≤ {ui.MAX_EVENT_MS} ms",
        measured=ui.text_of(each),
        good=ui.p99(each) <= ui.MAX_EVENT_MS,
        numbers=ui.numbers_of("event", each),
    )
