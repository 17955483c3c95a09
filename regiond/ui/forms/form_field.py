"""The fields of a form, where a template shows them one after the other."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class FormField:
    """`kind` is `text`, `area`, `number`, `choice` or `tick`; a tick has the values `true` and empty.

    `none_label` is what a choice calls the empty value; without it, a choice has no empty value.
    """

    name: str
    label: str
    kind: str = "text"
    options: tuple[tuple[str, str], ...] = ()
    none_label: str = ""
    optional: bool = False
    help: str = ""
