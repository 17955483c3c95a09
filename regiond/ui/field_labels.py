"""The labels of a form's fields, by which the summary of its problems names them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

_MACRO = re.compile(r'\b(?:fields|forms)\.(?:text|area|choice|labelled_choice|tick)\("([\w-]+)", "([^"]+)"')
_LABEL = re.compile(r'<label for="([\w-]+)"[^>]*>([^<{]+)')
_LEGEND = re.compile(r'<fieldset[^>]* id="([\w-]+)"[^>]*><legend>([^<{]+)')


class Labelled(Protocol):
    """A field of a form."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...


def labels_of(template: str) -> dict[str, str]:
    """Returns the labels in the source of a template, by the names of their fields."""
    return {name: label.strip() for found in (_LEGEND, _LABEL, _MACRO) for name, label in found.findall(template)}


def labels_of_fields(fields: Iterable[Labelled]) -> Mapping[str, str]:
    return {one.name: one.label for one in fields}
