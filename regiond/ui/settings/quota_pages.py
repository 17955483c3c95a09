"""Quotas: the list with what counts for each, a new one, its change and its deletion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import evolve, frozen

from common.hosts.capacity import ResourceCapacity
from regiond.api.replies import Reply
from regiond.api.resources.accounts.quotas import QUOTA, QUOTAS
from regiond.attention.model import ObjectType
from regiond.quotas.model import Quota
from regiond.ui.attention.attention_page import attention_of
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.object_pages import ObjectKind, object_pages
from regiond.ui.forms.question import Change, Question, sent_fields
from regiond.ui.forms.removal import Removal
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.views import formats
from regiond.ui.views.meter import Meter, memory_meter, meter_of, storage_meter
from regiond.ui.web_request import page_url

CRUMBS = ((constant("Settings"), page_url(SETTINGS)), (constant("Quotas"), page_url(SETTINGS, "quotas")))
_UNLIMITED = "-1"


@frozen(kw_only=True)
class Use:
    """An amount that is held of one resource: a meter if it has a limit, else a text."""

    label: str
    text: str
    meter: Meter | None


# By resource of a quota: its label and text in lists, and its name and label in the form, where units may differ.
_RESOURCES: Mapping[str, tuple[str, Callable[[int], str], str, str]] = {
    "machines": (constant("VMs"), formats.number, "machines", constant("VMs")),
    "cores": (constant("Cores"), formats.number, "cores", constant("Cores")),
    "memory_mib": (constant("RAM"), formats.memory, "memory", constant("RAM, MiB")),
    "storage_bytes": (constant("Storage"), formats.storage, "storage", constant("Storage, GB")),
}
_METERS: Mapping[str, Callable[[str, ResourceCapacity], Meter]] = {
    "memory_mib": memory_meter,
    "storage_bytes": storage_meter,
}
_LIMITS = tuple(
    FormField(name=name, label=label, kind="number", minimum=0, optional=True, cleared=_UNLIMITED)
    for _, _, name, label in _RESOURCES.values()
)


def uses(quota: Quota) -> tuple[Use, ...]:
    """Returns the use of each resource that the quota counts."""
    return tuple(
        Use(
            label=label,
            text=text(getattr(quota.used, name)),
            meter=_meter(name, label, getattr(quota.used, name), getattr(quota.limits, name)),
        )
        for name, (label, text, _, _) in _RESOURCES.items()
    )


def _meter(name: str, label: str, used: int, limit: int | None) -> Meter | None:
    if limit is None:
        return None
    return _METERS.get(name, meter_of)(label, ResourceCapacity(total=limit, claimable=limit, claimed=used))


async def show_list(visit: Visit) -> Reply:
    quotas = await visit.services.quotas.list(caller=visit.caller)
    return await visit.page(
        "settings/quotas.html",
        title=text("Quotas"),
        section=SETTINGS,
        quotas=[(quota, uses(quota)) for quota in quotas],
        attention=await attention_of(visit, object_type=ObjectType.QUOTA),
    )


async def _fields(visit: Visit, quota: Quota | None) -> tuple[FormField, ...]:
    if quota is not None:
        return _LIMITS
    users = [one.username for one in await visit.services.users.list(caller=visit.caller)]
    pools = [one.name for one in await visit.services.groups.pools(caller=visit.caller)]
    return (
        _choice("user", text("User"), users, none_label=text("No user")),
        _choice("pool", text("Or resource pool"), pools, none_label=text("No pool")),
        *_LIMITS,
    )


def _choice(name: str, label: str, names: Iterable[str], *, none_label: str) -> FormField:
    options = tuple((one, one) for one in names)
    return FormField(name=name, label=label, kind="choice", options=options, none_label=none_label)


def _values(quota: Quota) -> Mapping[str, str]:
    limit = quota.limits.storage_bytes
    return {"storage": "" if limit is None else str(limit // formats.GB)}


def _of(used: str, limit: str) -> str:
    return text("{used} of {limit}", used=used, limit=limit)


def limits_question(visit: Visit, quota: Quota, changes: Mapping[str, str]) -> Question | None:
    """Asks before a limit that is lower than what is held already."""
    below = []
    for name, (label, amount, field, _) in _RESOURCES.items():
        new = _amount(field, changes.get(field, ""))
        used, limit = getattr(quota.used, name), getattr(quota.limits, name)
        if new is not None and new < used and (limit is None or limit >= used):
            before = text("no limit") if limit is None else _of(amount(used), amount(limit))
            below.append(Change(label=label, before=before, after=_of(amount(used), amount(new))))
    if not below:
        return None
    return Question(
        title=text("Limit {subject} to less than it holds?", subject=_subject(quota)),
        section=SETTINGS,
        crumbs=CRUMBS,
        button=text("Save"),
        back=page_url(SETTINGS, "quotas", quota.id),
        undo=text("The limit can be raised again at any time."),
        changes=below,
        effects=(text("Nothing is taken. More is refused until enough is released."),),
        kept=sent_fields(visit.request.form),
    )


def _amount(field: str, text: str) -> int | None:
    """Returns a typed limit in the unit of the quota; None for no number, which the API judges."""
    if not (text.isascii() and text.isdecimal()):
        return None
    return int(text) * (formats.GB if field == "storage" else 1)


def _subject(quota: Quota) -> str:
    if quota.username is None:
        return text("pool {name}", name=quota.pool)
    return text("user {name}", name=quota.username)


async def _removal(_visit: Visit, quota: Quota, removal: Removal) -> Removal:
    return evolve(removal, title=text("Delete the quota of {subject}", subject=_subject(quota)), name=None)


QUOTA_KIND = ObjectKind(
    word=constant("quota"),
    section=SETTINGS,
    crumbs=CRUMBS,
    place=(SETTINGS, "quotas"),
    many=QUOTAS,
    one=QUOTA,
    name=_subject,
    title=constant("Quota of {}"),
    fields=_fields,
    values=_values,
    question=limits_question,
    removal=_removal,
    note=(
        constant(
            "What all VMs together may hold. An empty field is no limit. A quota below what is held refuses "
            "more; nothing is taken."
        )
    ),
)
PAGES = (
    Page(path="settings/quotas", handle=show_list),
    *object_pages(QUOTA_KIND, add="settings/new-quota", one="settings/quotas/<id>"),
)
