"""Measures the web pages in Chromium: sizes, times of server, first render and swap, and from an event to the page."""

from __future__ import annotations

import asyncio
import gzip
import math
import random
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from attrs import frozen

from common.values import PowerState
from regiond.ui.rendering.static_files import StaticFiles
from tests.bench.daemons import region_and_rack
from tests.bench.measuring import Bench, CannotMeasure, Line
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.browser.support.visitor import Visitor

MAX_SENT_KB = 30  # of a page, compressed: what travels
MAX_RENDER_MS, MAX_SWAP_MS, MAX_EVENT_MS = 500, 100, 1000
MAX_LIBRARIES_KB, MAX_OWN_SCRIPTS_KB, MAX_CSS_KB, MAX_CSS_GZIP_KB = 60, 21, 350, 45
AT_A_TIME = 5  # hosts
SWAPS = """
    window.swaps = [];
    document.addEventListener("innkeeper:refreshed", () => {
      const fetched = performance.getEntriesByType("resource").filter((one) => one.initiatorType === "fetch").at(-1);
      requestAnimationFrame(() => setTimeout(() => window.swaps.push(performance.now() - fetched.responseEnd)));
    });
"""
_LOADED = """() => {
    const page = performance.getEntriesByType("navigation")[0];
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    return paint ? [page.responseEnd - page.requestStart, paint.startTime] : null;
}"""
NEXT_POWER = """(id) => ({ shown: new Promise((done) => {
    const power = () => document.getElementById(id)?.querySelector("th + td")?.textContent.trim();
    const before = power();
    const look = () => power() !== before && (observer.disconnect(), done(Date.now()));
    const observer = new MutationObserver(look);
    observer.observe(document.body, { subtree: true, childList: true, characterData: true });
    setTimeout(() => (observer.disconnect(), done(null)), 20000);
}) })"""
_PREVIEW = """() => new Promise((done) => {
    const field = document.querySelector("#compose input[name=cores]");
    document.addEventListener("htmx:afterSettle", () => {
      const sent = performance.getEntriesByType("resource").filter((one) => one.name.includes("/preview")).at(-1);
      requestAnimationFrame(() => setTimeout(() => done([
        sent.responseEnd - sent.requestStart, performance.now() - sent.responseEnd, sent.decodedBodySize])));
    }, { once: true });
    field.value = String(Number(field.value || 1) % 4 + 1);
    field.dispatchEvent(new Event("input", { bubbles: true }));
})"""


@frozen(kw_only=True)
class Place:
    """A page; `changes` says whether the power state of the fleet's first VM changes what it shows."""

    key: str
    what: str
    path: str
    changes: bool = True


async def measure(bench: Bench) -> list[Line]:
    try:
        from tests.browser.support.chromium import CHROMIUM, chromium  # only this figure needs a browser
        from tests.browser.support.fleet import add_administrator_with_password
        from tests.browser.support.visitor import visitor
    except ImportError as missing:
        raise CannotMeasure(str(missing)) from missing
    if shutil.which(CHROMIUM) is None:
        raise CannotMeasure(f"{CHROMIUM} is missing")
    hosts, each = bench.size(50, 10), bench.size(40, 20)
    lines = list(_file_sizes())
    async with region_and_rack(bench) as deployment, chromium() as browser:
        await _fill(deployment, hosts, each)
        await add_administrator_with_password(deployment)
        came = await visitor(browser, deployment, "mira")
        await came.context.add_init_script(SWAPS)
        await came.log_in()
        machine = await first_machine(deployment)
        lines += [await measured_page(deployment, came, place, machine, bench.size(20, 8)) for place in places(machine)]
        lines.append(await _preview(came, bench.size(20, 8)))
        lines.append(await _events(deployment, came, machine, bench.size(50, 20)))
        complaints = came.complaints
    if complaints:
        raise RuntimeError(f"the browser complains: {complaints[:3]}")
    return lines


async def _fill(deployment: Deployment, hosts: int, each: int) -> None:
    async def add(number: int) -> None:
        host = await deployment.add_simulated(
            f"host-{number:02}", cores=64, memory_mib=262144, storage_gb=4000, numa_nodes=2
        )
        deployment.simulated(host["name"]).add_foreign(*(f"vm-{number:02}-{guest:02}" for guest in range(1, each + 1)))
        await deployment.refreshed(host["id"])
        await deployment.post(f"vm-hosts/{host['id']}/", op="adopt", all="true")

    for first in range(1, hosts + 1, AT_A_TIME):
        await asyncio.gather(*map(add, range(first, min(first + AT_A_TIME, hosts + 1))))

    async def adopted() -> bool:
        (row,) = await deployment.fetch("select count(*) from operation where is_open")
        return bool(row[0] == 0)

    await eventually(adopted, deadline_s=300, every_s=0.5)
    (row,) = await deployment.fetch("select count(*), min(state) as lowest, max(state) as highest from machine")
    if row[0] != hosts * each:
        raise RuntimeError(f"{row[0]} machines of {hosts * each} were adopted: {row['lowest']} to {row['highest']}")


async def first_machine(deployment: Deployment) -> Mapping[str, Any]:
    """The one that is the first row of a list by name, with its guest."""
    (row,) = await deployment.fetch(
        "select m.id, m.system_id, m.hostname, g.name as guest, h.id as host_id, h.name as host from machine m"
        " join vm_host h on h.id = m.host_id join guest g on g.machine_id = m.id order by m.hostname limit 1"
    )
    return dict(row)


def places(machine: Mapping[str, Any]) -> tuple[Place, ...]:
    return (
        Place(key="overview", what="overview", path="overview"),
        Place(key="hosts", what="hosts", path="hosts"),
        Place(key="host", what="a host with its VMs", path=f"hosts/{machine['host_id']}/vms"),
        Place(key="vms", what="VMs, 200 rows", path="vms?size=200"),
        Place(key="vm", what="a VM", path=f"vms/{machine['system_id']}"),
        Place(key="tasks", what="tasks", path="tasks?size=200", changes=False),
        Place(key="compose", what="compose", path="compose", changes=False),
    )


async def measured_page(
    deployment: Deployment, came: Visitor, place: Place, machine: Mapping[str, Any], times: int
) -> Line:
    html_kb, sent_kb, server, render = 0.0, 0.0, [], []
    for _ in range(times):
        response = await came.go(place.path)
        html_kb, sent_kb = (
            len(await response.body()) / 1000,
            (await response.request.sizes())["responseBodySize"] / 1000,
        )
        answered_ms, painted_ms = await eventually(lambda: came.page.evaluate(_LOADED))
        server.append(answered_ms)
        render.append(painted_ms)
    swaps = await _swaps(deployment, came, machine, times) if place.changes else []
    sizes = {"html_kb": round(html_kb, 1), "sent_kb": round(sent_kb, 1)}
    numbers = {**sizes, **numbers_of("server", server), **numbers_of("render", render)}
    measured = f"{sent_kb:.1f} kB of {html_kb:.0f}; server {text_of(server)}; first render {text_of(render)}"
    good = sent_kb <= MAX_SENT_KB and _p50(render) <= MAX_RENDER_MS
    wanted = f"≤ {MAX_SENT_KB} kB compressed, render p50 ≤ {MAX_RENDER_MS} ms"
    if swaps:
        numbers |= numbers_of("swap", swaps)
        measured += f"; swap {text_of(swaps)}"
        wanted += f", swap p50 ≤ {MAX_SWAP_MS} ms"
        good = good and _p50(swaps) <= MAX_SWAP_MS
    return Line(
        key=f"ui.{place.key}", what=f"page: {place.what}", wanted=wanted, measured=measured, good=good, numbers=numbers
    )


async def _swaps(deployment: Deployment, came: Visitor, machine: Mapping[str, Any], times: int) -> list[float]:
    """Milliseconds from the end of the fetched page to the frame after its fragments are swapped."""
    await live(came)
    for number in range(times):
        power = "on" if number % 2 else "off"
        await deployment.fetch("update machine set power_state = $2 where id = $1", machine["id"], power)
        await deployment.fetch(
            "select notify_changed(array['hosts', 'vms', 'host-' || $1::text], '{}', '{}')", str(machine["host_id"])
        )
        await eventually(partial(_counted, came, number))
    found: list[float] = await came.page.evaluate("window.swaps")
    return found


async def _counted(came: Visitor, seen: int) -> bool:
    return bool(await came.page.evaluate("window.swaps.length") > seen)


async def live(came: Visitor) -> None:
    async def is_live() -> bool:
        return bool(await came.page.locator("#live-state").text_content() == "Live")

    await eventually(is_live)


async def _preview(came: Visitor, times: int) -> Line:
    await came.go("compose")
    found = [await came.page.evaluate(_PREVIEW) for _ in range(times)]
    server, swaps = [one[0] for one in found], [one[1] for one in found]
    return Line(
        key="ui.preview",
        what="preview of the placement while composing",
        wanted=f"swap p50 ≤ {MAX_SWAP_MS} ms",
        measured=f"{found[-1][2] / 1000:.0f} kB; server {text_of(server)}; swap {text_of(swaps)}",
        good=_p50(swaps) <= MAX_SWAP_MS,
        numbers={"html_kb": round(found[-1][2] / 1000, 1), **numbers_of("server", server), **numbers_of("swap", swaps)},
    )


async def _events(deployment: Deployment, came: Visitor, machine: Mapping[str, Any], times: int) -> Line:
    """Somebody starts and stops a guest on the host itself, at irregular times, while its host's page is open."""
    await came.go(f"hosts/{machine['host_id']}/vms")
    await live(came)
    host, irregular, each = deployment.simulated(machine["host"]), random.Random(1), []  # noqa: S311
    power = PowerState.OFF if host.guests()[machine["guest"]].power == "on" else PowerState.ON
    for _ in range(times):
        await came.page.wait_for_timeout(irregular.uniform(200, 3000))
        waiting = await came.page.evaluate_handle(NEXT_POWER, f"vm-{machine['system_id']}")
        began = time.time()
        host.set_power(machine["guest"], power)
        shown_at = await waiting.evaluate("(holder) => holder.shown")
        if shown_at is None:
            raise RuntimeError(f"the page did not show that {machine['hostname']} is {power}")
        each.append(shown_at - began * 1000)
        power = PowerState.OFF if power is PowerState.ON else PowerState.ON
    return Line(
        key="ui.event",
        what="from a guest's start or stop on the host to the open page; the simulated host reports within 200 ms",
        wanted=f"p99 ≤ {MAX_EVENT_MS} ms",
        measured=text_of(each),
        good=p99(each) <= MAX_EVENT_MS,
        numbers=numbers_of("event", each),
    )


def _file_sizes() -> Iterable[Line]:
    static = files("regiond.ui") / "static"
    css = (static / "built" / "app.css").read_bytes()
    own = sum(map(len, StaticFiles.packaged().own_scripts.values())) / 1000
    library = len((static / "built" / "htmx.min.js").read_bytes()) / 1000
    for key, what, value, limit in (
        ("libraries", "libraries' scripts", library, MAX_LIBRARIES_KB),
        ("scripts", "own scripts", own, MAX_OWN_SCRIPTS_KB),
        ("css", "style sheet", len(css) / 1000, MAX_CSS_KB),
        ("css.gzip", "style sheet, gzip", len(gzip.compress(css)) / 1000, MAX_CSS_GZIP_KB),
    ):
        yield Line(
            key=f"ui.{key}", what=what, wanted=f"≤ {limit} kB", measured=f"{value:.1f} kB", good=value <= limit,
            numbers={"kb": round(value, 1)},
        )  # fmt: skip


def p99(values: Sequence[float]) -> float:
    return sorted(values)[max(0, math.ceil(0.99 * len(values)) - 1)]


def _p50(values: Sequence[float]) -> float:
    return sorted(values)[max(0, math.ceil(0.5 * len(values)) - 1)]


def text_of(values: Sequence[float]) -> str:
    return f"p50 {_p50(values):.0f} ms, p99 {p99(values):.0f} ms"


def numbers_of(name: str, values: Sequence[float]) -> dict[str, float]:
    return {f"{name}_p50_ms": round(_p50(values), 1), f"{name}_p99_ms": round(p99(values), 1)}
