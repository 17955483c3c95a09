"""The labels of a form's fields, by which the summary of its problems names them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from regiond.ui.texts import constant

_MESSAGE = r"_\('([^']+)'\)"
_MACRO = re.compile(
    rf'\b(?:fields|own)\.(?:text|area|choice|labelled_choice|image|tick)\("([\w-]+)", (?:"([^"]+)"|{_MESSAGE})'
)
_LABEL = re.compile(rf'<label for="([\w-]+)"[^>]*>(?:([^<{{]+)|\{{\{{ {_MESSAGE} \}}\}})')
_LEGEND = re.compile(rf'<fieldset[^>]* id="([\w-]+)"[^>]*><legend>(?:([^<{{]+)|\{{\{{ {_MESSAGE} \}}\}})')


class Labelled(Protocol):
    """A field of a form."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...


def labels_of(template: str) -> dict[str, str]:
    """Returns the labels in the source of a template, by the names of their fields; they are translated when shown."""
    return {
        name: constant((literal or message).strip())
        for found in (_LEGEND, _LABEL, _MACRO)
        for name, literal, message in found.findall(template)
    }


def labels_of_fields(fields: Iterable[Labelled]) -> Mapping[str, str]:
    return {one.name: one.label for one in fields}
