"""The texts of pages use the words of the field: VM, host, task; grant and revoke; no words of the API."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from gettext import NullTranslations
from pathlib import Path

import pytest

from regiond.ui.texts import reading_in
from regiond.ui.words.field_labels import labels_of
from tests.unit.support.pages.page_files import files, templates

TEMPLATES = Path(__file__).parents[4] / "regiond/ui/templates"
FORBIDDEN = {
    r"\bmachines?\b": "VM; machine is the API's word",
    r"\bpods?\b": "host",
    r"\bhypervisors? host": "host",
    r"\b(?:give|gives|given|giving|take|takes|taken|taking)\b[^.]{0,40}\broles?\b": "grant, revoke",
    r"\broles?\b[^.]{0,20}\b(?:given|taken)\b": "granted, revoked",
    r"\b(?:told|tell|tells|telling)\b": "report, notify, say",
    r"\bstragglers?\b": "stale call",
    r"\boperations?\b": "task",
    r"\b[a-z]+_[a-z]+\b": "words, no name of a field",
    r"\bgave up\b|\bgiven up\b|\blet go\b": "released, removed, deleted",
}
ALLOWED = (  # what is typed elsewhere, and the computer of the reader
    "user_data.", "authorized_keys", "set host_uuid in", "grep certificate_fingerprint", "memory_mib=32768",
    "innkeeper machine console", "innkeeper machine export", "other users of the machine",
)  # fmt: skip
_JINJA = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
_CODE = re.compile(r"<(code|pre|script|svg)\b.*?</\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_SHOWN = re.compile(r'\b(?:aria-label|placeholder|title)="([^"]*)"')
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")


def texts_of_template(source: str) -> Iterator[str]:
    """Returns what a template shows by itself, and the texts in its expressions."""
    for expression in _JINJA.findall(source):
        if not expression.startswith("{#"):
            texts = (double or single for double, single in _QUOTED.findall(expression))
            yield from (text for text in texts if " " in text.strip())
    markup = _CODE.sub(" ", _JINJA.sub(" … ", source))
    yield from _SHOWN.findall(markup)
    yield from (" ".join(part.split()) for part in _TAG.split(markup) if part.strip())


def texts_of_module(source: str) -> Iterator[str]:
    """Returns the texts of several words in the code: no docstrings, names or addresses."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in docstrings:
            continue
        if " " in node.value.strip() and not node.value.startswith("\\b"):
            yield node.value


def problems(text: str) -> list[str]:
    for allowed in ALLOWED:
        text = text.replace(allowed, "")
    found = ((re.search(bad, text, re.IGNORECASE), use) for bad, use in FORBIDDEN.items())
    return [f"{bad[0]!r} in {text.strip()[:90]!r}: {use}" for bad, use in found if bad]


def test_templates_use_the_words_of_the_vocabulary() -> None:
    found = {
        name: bad
        for name, path in templates()
        if (bad := [one for text in texts_of_template(path.read_text()) for one in problems(text)])
    }
    assert not found, "\n".join(f"{name}: {one}" for name, every in found.items() for one in every)


def test_the_code_of_pages_uses_the_words_of_the_vocabulary() -> None:
    found = {
        name: bad
        for name, path in files("*.py")
        if (bad := [one for text in texts_of_module(path.read_text()) for one in problems(text)])
    }
    assert not found, "\n".join(f"{name}: {one}" for name, every in found.items() for one in every)


@pytest.mark.parametrize(
    "text",
    [
        "Delete the machine",
        "Give role",
        "Take the role of ann",
        "power_address needs a value",
        "1 operation is running",
    ],
)
def test_a_wrong_word_is_found(text: str) -> None:
    assert problems(text)


def test_a_summary_names_fields_by_their_labels() -> None:
    """Not by the names that the API has for them."""
    assert labels_of('{{ fields.text("power_address", "Address", x, y) }}<label for="vid">Tag</label>') == {
        "power_address": "Address", "vid": "Tag",
    }  # fmt: skip


def test_a_summary_names_fields_whose_labels_are_messages() -> None:
    template = """{{ own.choice("vid", _('VLAN tag'), x) }}{{ fields.text("mtu", _('MTU, {n}', n=1), x) }}
<label for="host">{{ _('Host') }}</label><fieldset class="a" id="zones"><legend>{{ _('Zones') }}</legend>"""
    assert labels_of(template) == {"vid": "VLAN tag", "host": "Host", "zones": "Zones"}
    assert len(labels_of((TEMPLATES / "machines/deploy.html").read_text())) > 3


class Upper(NullTranslations):
    def gettext(self, message: str) -> str:
        return message.upper()


def test_labels_in_a_summary_are_translated() -> None:
    labels = labels_of("""{{ fields.text("vid", _('Tag')) }}""")
    with reading_in(Upper()):
        assert f"{labels['vid']}" == "TAG"
