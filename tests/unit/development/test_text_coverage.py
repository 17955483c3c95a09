"""No text of a page is added beside the catalogue: in templates, in Python code of the pages, and in scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from development.generated.generated_section import CHECKOUT
from tests.unit.support.pages import page_files
from tests.unit.support.text_search import (
    translated_at_import,
    untranslated_in_python,
    untranslated_in_script,
    untranslated_in_template,
    words_beside_messages,
)

UI = CHECKOUT / "regiond/ui"
# Names of products, units and protocols, which read the same in every language; headers, attributes of cookies, and
# topics and a frame of the stream.
NAMES = {"Innkeeper", "MiB", "GiB", "GB", "MAC", "NUMA", "IP", "DNS", "LXD", "Incus", "MAAS", "Ctrl-]", "CSV"} | {
    "JSON", "ID",
    "Location", "Cookie", "Vary", "Allow", "Origin", "Referer", "ETag", "Cookie, Accept-Encoding, Sec-Fetch-Site",
    "Android", "Chrome", "Edge", "Firefox", "iPad", "iPhone", "Linux", "Mac OS X", "Opera", "Safari", "Windows",
    "event: id: data:", "HttpOnly", "Secure", "vms tasks", "hosts vms", "UTC", "– Innkeeper",
    "VLAN", "NIC", "CIDR", "SHA-256",
    # Keys, by the names that browsers give them and keyboards have on them.
    "Control+Alt+Delete", "Control+Alt+Backspace", "Alt+Tab", "Control+Escape", "Escape", "PrintScreen", "Control",
    "Ctrl", "Alt", "Shift", "ShiftLeft", "Meta", "Key", "Left",
}  # fmt: skip
# Texts that are not messages yet: a change adds none, and whoever marks some writes the lower number.
LEFT = {"templates/**/*.html": 0, "*.py": 0, "static/scripts/*.js": 0}
SAMPLES = {
    UI / "overview/components_page.py"
}  # of a page that shows how parts of pages look: they stand for names and messages
SEARCHES: Mapping[str, Callable[[str], list[str]]] = {
    "templates/**/*.html": untranslated_in_template,
    "*.py": untranslated_in_python,
    "static/scripts/*.js": untranslated_in_script,
}


@pytest.mark.parametrize("files", SEARCHES)
def test_no_text_is_added_beside_the_catalogue(files: str) -> None:
    found = [
        (name, text)
        for name, path in page_files.files(files)
        if path not in SAMPLES
        for text in SEARCHES[files](path.read_text(encoding="utf-8"))
        if text not in NAMES
    ]
    assert len(found) == LEFT[files], "\n".join(f"{name}: {text}" for name, text in found)


def test_tables_of_words_are_messages_as_a_whole() -> None:
    """A single word in lower case does not look like a text."""
    found = {
        name: words
        for name, path in page_files.files("*.py")
        if path not in SAMPLES and (words := words_beside_messages(path.read_text(encoding="utf-8")))
    }
    assert found == {}
    assert words_beside_messages('A = {"a": constant("Away"), "b": "host", "c": "CIDR"}') == ["host"]
    assert words_beside_messages('A = (("a", constant("Away")), ("b", "host"))') == ["host"]
    assert words_beside_messages('Action(key="a", done="started")') == ["started"]


def test_no_text_is_translated_when_its_module_is_imported() -> None:
    """It would be English for every reader."""
    found = {
        name: calls
        for name, path in page_files.files("*.py")
        if (calls := translated_at_import(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        'A = {"a": text("Away")}',
        'A = [counted("{n} host", "{n} hosts", n) for n in (1, 2)]',
        'class A:\n    a: str = texts.text("Away")',
        'def a(b: str = text("Away")) -> None: ...',
        'a = lambda *, b=_("Away"): b',
        '@named(text("Away"))\nasync def a() -> None: ...',
    ],
)
def test_a_text_that_is_translated_at_import_is_found(source: str) -> None:
    assert len(translated_at_import(source)) == 1
    assert (
        translated_at_import(source.replace("text(", "constant(").replace("counted(", "n(").replace("_(", "n(")) == []
    )


def test_a_function_translates_when_it_is_called() -> None:
    assert translated_at_import('def a() -> str:\n    return text("Away")\nb = lambda: text("Away")') == []


def test_keys_and_markup_are_no_texts() -> None:
    assert untranslated_in_template('<b{% if is_one %} class="is-one"{% endif %}>{{ name }}</b>') == []
    assert untranslated_in_template('{% block encoding %} enctype="multipart/form-data"{% endblock %}') == []
    assert untranslated_in_template("ik-rows{% for name in names %} ik-c{{ loop.index }}-{{ name }}{% endfor %}") == []
    assert untranslated_in_template('{{ {"not yet": 1}[name] }}') == []
    assert untranslated_in_template('{{ {1: "not yet"}[name] }}') == ["not yet"]


def test_a_text_outside_the_catalogue_is_found() -> None:
    assert untranslated_in_template("<p>{{ name }} is away</p>") == ["is away"]
    assert untranslated_in_template('<i aria-label="Close {{ name }}"></i>') == ["Close"]
    assert untranslated_in_template("{{ tables.column('Power state') }}") == ["Power state"]
    assert untranslated_in_template("<p>{{ _('Away') }}{% trans %}Away{% endtrans %}</p><code>lxc list</code>") == []
    assert (
        untranslated_in_template("{{ ngettext('{n} host', '{n} hosts', 2) }} {{ ngettext(a, 'Two hosts', 2) }}") == []
    )
    assert untranslated_in_python('a = f"{n} hosts are away"') == ["hosts are away"]
    assert untranslated_in_python('a(label="away", name="away")') == ["away"]
    assert untranslated_in_python('a = text("Away") + counted("{n} host", "{n} hosts", 2)') == []
    assert untranslated_in_python('def a():\n    """Returns the sum."""\n    raise NotFound("There is no page.")') == []
    assert untranslated_in_script('a("Not live"); t("Live now")') == ["Not live"]
    assert untranslated_in_script('a(`Status ${code}.`, `${now.hour} ${now.minute}`, "htmx:afterSwap")') == [
        "Status  ."
    ]
