"""Quotas: the list with what counts for each, a new one, its change and its deletion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from attrs import frozen

from regiond.api.replies import Reply
from regiond.api.resources.accounts.quotas import QUOTA, QUOTAS
from regiond.api.urls import id_in
from regiond.permissions import Permission
from regiond.quotas.model import Limits, Quota
from regiond.ui import formats
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.refusal import Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.meter import Meter, limit_meter
from regiond.ui.page import Page, Visit, form_pages, redirect
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.web_request import page_url

CRUMBS = (("Settings", page_url(SETTINGS)), ("Quotas", page_url(SETTINGS, "quotas")))
UNLIMITED = "-1"
_LIMITS = ("machines", "cores", "memory", "storage")
_SUBJECT = ("user", "pool")


@frozen(kw_only=True)
class Use:
    """What is held of one resource: a meter if it has a limit, else a text."""

    label: str
    text: str
    meter: Meter | None


def uses(quota: Quota) -> tuple[Use, ...]:
    """What is used of each resource that the quota counts."""
    limits, used = quota.limits, quota.used
    return (
        _use("VMs", used.machines, limits.machines),
        _use("Cores", used.cores, limits.cores),
        _use("RAM, GiB", used.memory_mib, limits.memory_mib, formats.gib),
        _use("Storage, GB", used.storage_bytes, limits.storage_bytes, formats.gb),
    )


def _use(label: str, used: int, limit: int | None, text: Callable[[int], str] = formats.number) -> Use:
    return Use(label=label, text=text(used), meter=None if limit is None else limit_meter(label, used, limit, text))


async def show_list(visit: Visit) -> Reply:
    quotas = await visit.services.quotas.list(caller=visit.caller)
    return await visit.page(
        "settings/quotas.html", title="Quotas", section=SETTINGS, quotas=[(quota, uses(quota)) for quota in quotas]
    )


async def create(visit: Visit) -> Reply:
    request = visit.request

    async def send(values: Mapping[str, str]) -> Reply:
        await visit.act(QUOTAS, "POST", fields={name: value or None for name, value in values.items()})
        return redirect(SETTINGS, "quotas")

    values = {name: request.given(name) or request.option(name) for name in (*_SUBJECT, *_LIMITS)}
    return await forms.create(visit, values, partial(_page, visit, None), send)


async def change(visit: Visit) -> Reply:
    quota = await _quota(visit)

    async def send(changes: Mapping[str, str]) -> Reply:
        fields = {name: value.strip() or UNLIMITED for name, value in changes.items()}
        await visit.act(QUOTA, "PUT", path={"id": str(quota.id)}, fields=fields)
        return redirect(SETTINGS, "quotas")

    return await forms.change(visit, _values(quota.limits), partial(_page, visit, quota), send)


async def _quota(visit: Visit) -> Quota:
    return await visit.services.quotas.read(id_in(visit.path["quota"], "quota"), caller=visit.caller)


def _values(limits: Limits) -> dict[str, str]:
    amounts = (limits.machines, limits.cores, limits.memory_mib, limits.storage_bytes)
    return {
        name: "" if amount is None else str(amount // formats.GB if name == "storage" else amount)
        for name, amount in zip(_LIMITS, amounts, strict=True)
    }


async def _page(visit: Visit, quota: Quota | None, edit: Edit, refusal: Refusal) -> Reply:
    services = visit.services
    return await visit.page(
        "settings/quota.html",
        title=f"Quota of {quota.subject}" if quota else "Add quota",
        section=SETTINGS,
        status=refusal.status,
        crumbs=CRUMBS,
        quota=quota,
        edit=edit,
        users=[one.username for one in await services.users.list(caller=visit.caller)],
        pools=[one.name for one in await services.groups.pools(caller=visit.caller)],
        problems=refusal.problems,
    )


async def delete(visit: Visit) -> Reply:
    quota = await _quota(visit)
    removal = Removal(
        title=f"Delete the quota of {quota.subject}",
        section=SETTINGS,
        crumbs=CRUMBS,
        button="Delete quota",
        resource=QUOTA,
        path={"id": str(quota.id)},
        place=(SETTINGS, "quotas"),
    )
    return await confirm(visit, removal)


ADMIN = Permission.ADMIN
PAGES = (
    Page(path="settings/quotas", handle=show_list),
    *form_pages("settings/new-quota", create, permission=ADMIN),
    *form_pages("settings/quotas/<quota>", change, permission=ADMIN),
    *form_pages("settings/quotas/<quota>/delete", delete, permission=ADMIN),
)
