"""The fields of a form, where a template shows them one after the other."""

from __future__ import annotations

from attrs import frozen

from regiond.api.declaration.endpoint import Resource
from regiond.api.declaration.field_types import Text

SECRET = "password"  # noqa: S105 - the kind of a field
TICK = "tick"


@frozen(kw_only=True)
class FormField:
    """`kind` is `area`, `choice`, `tick`, or a type of an input; a tick has the values `true` and empty.

    `none_label` is what a choice calls the empty value; without it, a choice has no empty value. `cleared` is what a
    change sends for a value that is empty now.
    """

    name: str
    label: str
    kind: str = "text"
    options: tuple[tuple[str, str], ...] = ()
    none_label: str = ""
    optional: bool = False
    help: str = ""
    rows: int = 4  # of an area
    minimum: int | None = None  # of a number
    cleared: str = ""


def texts_of(resource: Resource, method: str, *worded: FormField) -> tuple[FormField, ...]:
    """Returns `worded`, then the other texts that the endpoint takes, in its own words: the form follows the API."""
    endpoint = resource.endpoint(method, None)
    names = {one.name for one in worded}
    others = [one for one in endpoint.fields if isinstance(one.type, Text)] if endpoint else []
    return (
        *worded,
        *(
            FormField(
                name=one.name,
                label=one.name.replace("_", " ").capitalize(),
                optional=not one.required,
                help=one.doc,
            )
            for one in others
            if one.name not in names
        ),
    )
