"""Adds a host in steps. The first creates it; until it is trusted it waits, and can be removed again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from attrs import evolve

from common.errors import InnkeeperError, InvalidRequest, NotFound
from common.values import DriverType, Project
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOSTS
from regiond.api.resources.shared.lookups import find_host
from regiond.hosts.model import HostView
from regiond.requests.caller import Permission
from regiond.ui.forms.question import Question, ask, is_answered, keeping
from regiond.ui.forms.refusal import Problems, Refusal
from regiond.ui.hosts.add_form import AddForm, next_step, read_add_form, type_names
from regiond.ui.hosts.host_check import host_check
from regiond.ui.hosts.host_questions import asks_on_add, trust_question
from regiond.ui.hosts.list_page import read_rows
from regiond.ui.hosts.trust_actions import act_on_trust
from regiond.ui.hosts.trust_steps import steps_so_far
from regiond.ui.hosts.trust_view import trust_view
from regiond.ui.rendering.page import Page, Visit, redirect
from regiond.ui.texts import text
from regiond.ui.web_request import page_url

_WAYS = ("command", "token", "password")
_MOST_ADDRESSES = 200
_PATH = ("hosts", "add")
_ASKED = ("action", "fingerprint", "field", "value", "way")  # none of them is secret


async def show(visit: Visit) -> Reply:
    option = visit.request.option
    match option("step"):
        case "trust":
            return await _trust_or_question(visit, await _host(visit, option("host")))
        case "check":
            return await _check(visit, await _host(visit, option("host")))
        case _ if option("type") in _types(visit):
            return await _connection(visit, read_add_form(visit.request, option("type")))
        case _:
            return await _page(visit, "choose", types=_types(visit))


async def send(visit: Visit) -> Reply:
    """Creates the host, or acts on the trust of the one that waits."""
    if visit.request.given("step") == "trust":
        return await _act(visit, await _host(visit, visit.request.given("host")))
    kind = visit.request.given("type")
    if kind not in _types(visit):
        raise InvalidRequest(f"There is no type {kind!r}: choose one of {', '.join(_types(visit))}.")
    form = read_add_form(visit.request, kind)
    if form.problems:
        return await _connection(visit, form, form.problems, status=422)
    try:
        made = await visit.act(HOSTS, "POST", fields=form.fields())
    except InnkeeperError as error:
        refusal = Refusal.of(error)
        return await _connection(visit, form, refusal.problems, status=refusal.status)
    return _to_step(await _host(visit, str(made["id"])))


async def _act(visit: Visit, host: HostView) -> Reply:
    """Acts, or leads to the question before it: at an address of its own, so that a reload shows it again."""
    given = visit.request.given
    asked = {name: given(name) for name in _ASKED}
    if not is_answered(visit) and await _question(visit, host, asked) is not None:
        return redirect(*_PATH, query=_step(host, **asked))
    return await _ask_or_act(visit, host, asked)


async def _ask_or_act(visit: Visit, host: HostView, asked: Mapping[str, str]) -> Reply:
    async def run() -> Reply:
        await act_on_trust(visit, host.id)
        return _to_step(await _host(visit, str(host.id)))

    question = await _question(visit, host, asked)
    if question is not None:
        return await ask(visit, question, run)
    try:
        return await run()
    except InnkeeperError as error:
        refusal = Refusal.of(error)
        return await _trust(visit, host, refusal.problems, status=refusal.status)


async def _question(visit: Visit, host: HostView, asked: Mapping[str, str]) -> Question | None:
    """Returns the question that the settings ask too; None before other actions and before a first acceptance."""
    trust = trust_view(host, await visit.services.hosts.parameters(visit.caller, host.id), visit.now)
    if not asks_on_add(trust, asked["action"], asked["fingerprint"]):
        return None
    question = trust_question(host, trust, asked["action"], asked)
    if question is None:
        return None
    step = _step(host, way=asked["way"])
    return evolve(keeping(question, **step), back=page_url(*_PATH, query=step))


def _step(host: HostView, **also: str) -> dict[str, str]:
    return {"step": "trust", "host": str(host.id), **{name: value for name, value in also.items() if value}}


async def _connection(visit: Visit, form: AddForm, problems: Problems | None = None, *, status: int = 200) -> Reply:
    zones, pools, rows = await asyncio.gather(
        visit.services.groups.zones(), visit.services.groups.pools(caller=visit.caller), read_rows(visit)
    )
    addresses = sorted({row.address for row in rows if row.view.driver.value == form.type})
    return await _page(
        visit,
        "connection",
        status=status,
        type=form.type,
        form=form,
        problems=problems or {},
        zones=[zone.name for zone in zones],
        pools=[pool.name for pool in pools],
        addresses=addresses[:_MOST_ADDRESSES],
    )


async def _trust_or_question(visit: Visit, host: HostView) -> Reply:
    asked = {name: visit.request.option(name) for name in _ASKED}
    if await _question(visit, host, asked) is not None:
        return await _ask_or_act(visit, host, asked)
    return await _trust(visit, host)


async def _trust(visit: Visit, host: HostView, problems: Problems | None = None, *, status: int = 200) -> Reply:
    if next_step(host) != "trust" and not problems:
        return _to_step(host, is_live=visit.request.is_live)
    parameters = await visit.services.hosts.parameters(visit.caller, host.id)
    view = trust_view(host, parameters, visit.now)
    ways = _WAYS if view.commands.takes_passwords else tuple(way for way in _WAYS if way != "password")
    way = visit.request.given("way") or visit.request.option("way") or (view.advice.way if view.advice else "")
    return await _page(
        visit,
        "trust",
        status=status,
        type=host.driver.value,
        host=host,
        trust=view,
        certificate_path=urlsplit(view.certificate_url).path,
        way=way if way in ways else ways[0],
        ways=ways,
        steps_so_far=steps_so_far(view),
        problems=problems or {},
    )


async def _check(visit: Visit, host: HostView) -> Reply:
    if next_step(host) != "check":
        return _to_step(host, is_live=visit.request.is_live)
    (row,) = await read_rows(visit, [host])
    return await _page(
        visit,
        "check",
        type=host.driver.value,
        host=host,
        row=row,
        lines=host_check(host, visit.now, await visit.services.hosts.known_before(visit.caller, host.id)),
        projects=await _other_projects(visit, host),
    )


async def _other_projects(visit: Visit, host: HostView) -> list[Project]:
    """Returns those of the same LXD server; none if it does not answer now."""
    if host.driver is not DriverType.LXD or host.total is None or visit.request.is_live:
        return []
    try:
        found = await visit.services.hosts.projects(visit.caller, host.id)
    except InnkeeperError:
        return []
    return [project for project in found if project.name != host.project]


async def _page(visit: Visit, step: str, *, status: int = 200, **values: object) -> Reply:
    return await visit.page(f"hosts/add_{step}.html", title=text("Add host"), section="hosts", status=status, step=step,
                            names=type_names(), **values)  # fmt: skip


def _to_step(host: HostView, *, is_live: bool = False) -> Reply:
    query = {"step": next_step(host), "host": str(host.id)}
    if is_live:  # the script of a live page goes there
        return Reply(status=200, headers={"HX-Redirect": page_url(*_PATH, query=query)})
    return redirect(*_PATH, query=query)


async def _host(visit: Visit, text: str) -> HostView:
    if not text:
        raise NotFound("The address names no host.")
    return await find_host(visit.services, {"id": text})


def _types(visit: Visit) -> tuple[str, ...]:
    """Simulated hosts only where the region has them."""
    has_simulated = visit.actions.api.info.simulated_hosts
    return tuple(name for name in type_names() if name != DriverType.SIMULATED.value or has_simulated)


PAGES = (
    Page(path="hosts/add", handle=show, permission=Permission.ADMIN),
    Page(path="hosts/add", method="POST", handle=send, permission=Permission.ADMIN),
)
