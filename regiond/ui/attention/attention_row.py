"""Lines of items that need attention: the address of the object, the action that helps. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import evolve, frozen

from regiond.attention.model import AttentionGroup, AttentionItem, AttentionKind, ObjectType
from regiond.requests.caller import Caller
from regiond.ui.attention.kind_words import kind_text
from regiond.ui.texts import constant, text, translated
from regiond.ui.web_request import page_url

PAGE = "attention"
_K = AttentionKind
_ALONE = 3  # items of a kind that the overview shows; of more it shows one line
OF_KIND = _ALONE + 1  # that `overview_lines` needs
_MOST_LINES = 10  # of the overview

_ICONS: Mapping[AttentionKind, str] = {
    _K.HOST_REJECTED: "rejected", _K.HOST_NOT_TRUSTED: "waiting", _K.HOST_STALE: "clock",
    _K.CERTIFICATE_EXPIRING: "key", _K.SERVER_CERTIFICATE_EXPIRING: "key", _K.CLIENT_CERTIFICATE_EXPIRING: "key",
    _K.OPERATION_WAITING: "waiting", _K.IMAGE_FAILED: "disc",
}  # fmt: skip


@frozen(kw_only=True)
class Help:
    """The action that helps: a link, with `asks` to a question, or with `sends` a form without fields."""

    label: str
    url: str
    asks: bool = False
    sends: bool = False


@frozen(kw_only=True)
class AttentionRow:
    """An item with the address of its object."""

    item: AttentionItem
    url: str
    icon: str
    help: Help


@frozen(kw_only=True)
class KindLine:
    """The line for many items of a kind: `text` has their number, `newest` is the one that began last."""

    text: str
    url: str
    is_broken: bool
    newest: AttentionItem


def attention_row(item: AttentionItem, caller: Caller) -> AttentionRow:
    """Returns the line in the reader's language."""
    url = _url(item, caller)
    helped = _help(item, caller, url)
    icon = _ICONS.get(item.kind) or ("error" if item.severity == "broken" else "warn")
    return AttentionRow(item=_translated(item), url=url, icon=icon, help=helped)


def _translated(item: AttentionItem) -> AttentionItem:
    return evolve(
        item,
        name=translated(item.name),
        what=translated(item.what),
        cause=translated(item.cause),
        remedy=translated(item.remedy),
    )


def rows_of(groups: Iterable[AttentionGroup], caller: Caller) -> tuple[AttentionRow, ...]:
    return tuple(attention_row(item, caller) for group in groups for item in group.items)


def overview_lines(groups: Iterable[AttentionGroup], caller: Caller) -> tuple[AttentionRow | KindLine, ...]:
    """Returns the first lines, what is broken before what is not; kinds with many items are one line each."""
    found: list[tuple[bool, AttentionRow | KindLine]] = []
    for group in groups:
        if group.count > _ALONE:
            line = KindLine(
                text=kind_text(group.kind, group.count),
                url=page_url(PAGE, query={"kind": group.kind.value}),
                is_broken=group.broken > 0,
                newest=_translated(group.items[0]),
            )
            found.append((line.is_broken, line))
        else:
            found += [(item.severity == "broken", attention_row(item, caller)) for item in group.items]
    return tuple(line for _, line in sorted(found, key=lambda each: not each[0])[:_MOST_LINES])


_PAGES: Mapping[ObjectType, tuple[str, ...]] = {
    ObjectType.VM: ("vms", "{id}"),
    ObjectType.HOST: ("hosts", "{id}", "vms"),
    ObjectType.STORAGE_POOL: ("hosts", "{host}", "resources"),
    ObjectType.OPERATION: ("tasks", "{id}"),
    ObjectType.IMAGE: ("settings", "images"),
    ObjectType.RACK: ("settings", "racks", "{id}"),
    ObjectType.DISCREPANCY: ("settings", "discrepancies", "{id}"),
    ObjectType.REGION: ("about",),
    ObjectType.RPC_CLIENT: ("account", "clients"),
}


def _url(item: AttentionItem, caller: Caller) -> str:
    if item.object_type is ObjectType.QUOTA:
        return page_url("settings", "quotas", *((item.object_id,) if caller.is_admin else ()))
    return page_url(*_filled(item, _PAGES[item.object_type]))


def _filled(item: AttentionItem, segments: Iterable[str]) -> list[str]:
    return [one.format(id=item.object_id, host=item.host_id) for one in segments]


def _refresh(label: str) -> Callable[[AttentionItem], Help | None]:
    def of_host(item: AttentionItem) -> Help | None:
        if item.host_id is None:
            return None
        return Help(label=label, url=page_url("hosts", item.host_id, "refresh"), sends=True)

    return of_host


def _link(label: str, *segments: str, **query: str) -> Callable[[AttentionItem], Help | None]:
    """A link whose segments and parameters may name the object, `{id}`, or its host, `{host}`."""

    def of_item(item: AttentionItem) -> Help | None:
        values = dict(zip(query, _filled(item, query.values()), strict=True))
        return Help(label=label, url=page_url(*_filled(item, segments), query=values), asks=segments[-1] == "delete")

    return of_item


# What administrators can do; others open the object.
_HELP: Mapping[AttentionKind, Callable[[AttentionItem], Help | None]] = {
    _K.VM_MISSING: _refresh(constant("Refresh host")),
    _K.VM_VOLUME_MISSING: _refresh(constant("Refresh host")),
    _K.VM_SHOULD_RUN: _link(constant("Start or accept"), "vms", "{id}"),
    _K.VM_FAILED_COMPOSE: _link(constant("Delete"), "vms", "{id}", "delete"),
    _K.VM_FAILED: _link(constant("Delete"), "vms", "{id}", "delete"),
    _K.HOST_UNREACHABLE: _refresh(constant("Retry")),
    _K.HOST_REJECTED: _link(constant("Compare"), "hosts", "add", step="trust", host="{host}"),
    _K.HOST_NOT_TRUSTED: _link(constant("Show command"), "hosts", "add", step="trust", host="{host}"),
    _K.HOST_STALE: _refresh(constant("Refresh")),
    _K.HOST_OVERCOMMITTED: _link(constant("Change ratio"), "hosts", "{host}", "settings"),
    _K.HOST_PROBLEM: _refresh(constant("Refresh")),
    _K.STORAGE_POOL_UNAVAILABLE: _refresh(constant("Refresh host")),
    _K.CERTIFICATE_EXPIRING: _link(constant("Rotate"), "hosts", "{host}", "settings"),
    _K.SERVER_CERTIFICATE_EXPIRING: _link(constant("Show certificate"), "hosts", "{host}", "settings"),
    _K.QUOTA_FULL: _link(constant("Raise"), "settings", "quotas", "{id}"),
    _K.DISCREPANCY: _link(constant("Review"), "settings", "discrepancies", "{id}"),
}


def _help(item: AttentionItem, caller: Caller, url: str) -> Help:
    make = _HELP.get(item.kind) if caller.is_admin else None
    if item.kind is _K.CERTIFICATE_EXPIRING and item.object_type is not ObjectType.HOST:
        make = None
    return (make(item) if make else None) or Help(label=text("Open"), url=url)
