"""Pages that add, change and delete an object: the same for all kinds of objects, made from their fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen

from common.errors import NotFound
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.replies import Reply
from regiond.requests.caller import Permission, check_object
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import SECRET, TICK, FormField
from regiond.ui.forms.question import Question, is_answered, show
from regiond.ui.forms.refusal import Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect
from regiond.ui.texts import text

Place = Sequence[str | int]


async def _as_it_is(_visit: Visit, _found: Any, removal: Removal) -> Removal:
    return removal


async def _nothing_more(_visit: Visit, _found: Any) -> Mapping[str, Any]:
    return {}


def _no_question(_visit: Visit, _found: Any, _changes: Mapping[str, str]) -> Question | None:
    return None


def _no_values(_found: Any) -> Mapping[str, str]:
    return {}


@frozen(kw_only=True)
class ObjectKind:
    """Objects that forms add, change and delete.

    `many` and `one` are their resources of the API. `key` names an object in its path there; `prefix` and the segment
    of a page's address do too. `place` is the list of all. `fields` gets the object, or None for a new one, and its
    values are those of the API's answer, or of `values` where a form words them otherwise.

    `question` returns what a change asks first, or None; its fields hold no secret.

    `added` and `changed` say where one goes afterwards, from the API's answer; None: to the list. `template` extends
    `edit.html` and shows `more`.
    """

    word: str
    section: str
    crumbs: Sequence[tuple[str, str]]
    place: Place
    many: Resource
    one: Resource
    key: Callable[[Any], str] = lambda found: str(found.id)
    prefix: str = ""
    name: Callable[[Any], str] = lambda found: str(found.name)
    title: str = "{}"
    fields: Callable[[Visit, Any], Awaitable[Sequence[FormField]]]
    values: Callable[[Any], Mapping[str, str]] = _no_values
    added: Callable[[Any], Place] | None = None
    changed: Callable[[Any], Place] | None = None
    question: Callable[[Visit, Any, Mapping[str, str]], Question | None] = _no_question
    removal: Callable[[Visit, Any, Removal], Awaitable[Removal]] = _as_it_is
    more: Callable[[Visit, Any], Awaitable[Mapping[str, Any]]] = _nothing_more
    template: str = "edit.html"
    columns: int = 2
    note: str = ""

    def path(self, key: str) -> Mapping[str, str]:
        """Returns the parameters of the object's path in the API."""
        (name,) = self.one.params
        return {name: key}

    async def find(self, visit: Visit) -> Any:
        """Returns the object of the page's address. Raises NotFound; NotAllowed if the caller may not change it."""
        endpoint = self._endpoint("PUT")
        if endpoint.find is None:
            return None
        found = await endpoint.find(visit.services, self.path(self.prefix + visit.path["id"]))
        check_object(endpoint.permission, visit.caller, found)
        return found

    def current(self, found: Any, fields: Sequence[FormField]) -> dict[str, str]:
        """Returns the values that the object has now, as the form shows them."""
        type_, worded = self._endpoint("GET").result.type, self.values(found)
        answer = type_.encode(found) if type_ else {}
        shown = (one.name for one in fields if one.kind != SECRET)
        return {name: worded[name] if name in worded else _text(answer.get(name)) for name in shown}

    def _endpoint(self, method: str) -> Endpoint:
        endpoint = self.one.endpoint(method, None)
        if endpoint is None:
            raise NotFound(f"A {self.word} has no {method}.")
        return endpoint


def edit_pages(
    kind: ObjectKind, *, add: str, change: str, permission: Permission = Permission.ADMIN
) -> tuple[Page, ...]:
    """The pages that add and change an object, for those who may. The address `change` has `<id>`."""
    return (
        *form_pages(add, partial(_add, kind), permission=permission),
        *form_pages(change, partial(_change, kind), permission=permission),
    )


def object_pages(
    kind: ObjectKind, *, add: str, one: str, change: str | None = None, permission: Permission = Permission.ADMIN
) -> tuple[Page, ...]:
    """As `edit_pages`, and the page that deletes an object, below its address. `change` is that address without it."""
    deletion = form_pages(f"{one}/delete", partial(_delete, kind), permission=permission)
    return (*edit_pages(kind, add=add, change=change or one, permission=permission), *deletion)


async def _add(kind: ObjectKind, visit: Visit) -> Reply:
    """The address may have values for the fields of a new object; empty ones are not sent."""
    fields = await kind.fields(visit, None)

    async def send(values: Mapping[str, str]) -> Reply:
        sent = {name: text for name, text in {**values, **_secrets(visit, fields)}.items() if text.strip()}
        path = {name: sent.pop(name.removesuffix("_id"), "") for name in kind.many.params}
        made = await visit.act(kind.many, "POST", path=path, fields=sent)
        return redirect(*(kind.added(made) if kind.added else kind.place))

    return await forms.create(visit, _begun(visit, fields), partial(_page, visit, kind, None, fields), send)


async def _change(kind: ObjectKind, visit: Visit) -> Reply:
    """Sends what the user changed, and nothing if that is nothing."""
    found = await kind.find(visit)
    fields = await kind.fields(visit, found)
    cleared = {one.name: one.cleared for one in fields}

    async def send(changes: Mapping[str, str]) -> Reply:
        question = None if is_answered(visit) else kind.question(visit, found, changes)
        if question is not None:
            return await show(visit, question)
        sent = {name: text or cleared[name] for name, text in changes.items()} | _secrets(visit, fields)
        if sent:
            await visit.act(kind.one, "PUT", path=kind.path(kind.key(found)), fields=sent)
        return redirect(*(kind.changed(found) if kind.changed else kind.place))

    page = partial(_page, visit, kind, found, fields)
    return await forms.change(visit, kind.current(found, fields), page, send)


def _begun(visit: Visit, fields: Sequence[FormField]) -> dict[str, str]:
    """Returns what was typed, or what the address proposes: no tick, which may be a right."""
    if visit.request.method == "POST":
        return {one.name: visit.request.given(one.name) for one in fields if one.kind != SECRET}
    return {
        one.name: "" if one.kind == TICK else visit.request.option(one.name) for one in fields if one.kind != SECRET
    }


def _secrets(visit: Visit, fields: Sequence[FormField]) -> dict[str, str]:
    """Returns what was typed into fields that never show their value."""
    typed = {one.name: visit.request.given(one.name) for one in fields if one.kind == SECRET}
    return {name: text for name, text in typed.items() if text}


def _text(value: Any) -> str:
    """A value of the API's answer, as a form has it."""
    if isinstance(value, bool):
        return "true" if value else ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


async def _page(
    visit: Visit, kind: ObjectKind, found: Any, fields: Sequence[FormField], edit: Edit, refusal: Refusal
) -> Reply:
    return await visit.page(
        kind.template,
        title=text("Add {word}", word=kind.word) if found is None else kind.title.format(kind.name(found)),
        section=kind.section,
        status=refusal.status,
        kind=kind,
        found=found,
        form_fields=fields,
        edit=edit,
        problems=refusal.problems,
        **await kind.more(visit, found),
    )


def deleted_text(word: str, name: str) -> str:
    """Returns the note after a deletion, such as `Tag ssd is deleted.`"""
    shown = text(word)
    return text("{word} {name} is deleted.", word=f"{shown[:1].upper()}{shown[1:]}", name=name)


async def _delete(kind: ObjectKind, visit: Visit) -> Reply:
    found = await kind.find(visit)
    removal = Removal(
        title=text("Delete {name}", name=kind.name(found)),
        section=kind.section,
        crumbs=kind.crumbs,
        button=text("Delete {word}", word=kind.word),
        resource=kind.one,
        path=kind.path(kind.key(found)),
        name=kind.name(found),
        place=kind.place,
        done=deleted_text(kind.word, kind.name(found)),
    )
    return await confirm(visit, await kind.removal(visit, found, removal))
