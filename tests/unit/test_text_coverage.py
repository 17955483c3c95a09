"""Every text of a page is a message of the catalogue: in templates, in Python code of the pages, and in scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from development.generated_section import CHECKOUT
from tests.unit.text_search import untranslated_in_python, untranslated_in_script, untranslated_in_template

UI = CHECKOUT / "regiond/ui"
# Names of products, units and protocols, which read the same in every language.
NAMES = {"Innkeeper", "MiB", "GiB", "GB", "MAC", "NUMA", "IP", "DNS", "LXD", "MAAS", "Ctrl-]", "CSV", "JSON", "ID"}
# Texts that nobody reads on a page, by file, with the reason.
NOT_SHOWN: Mapping[str, Sequence[str]] = {}
TEMPLATES = sorted(str(path.relative_to(UI)) for path in UI.rglob("templates/**/*.html"))
MODULES = sorted(str(path.relative_to(UI)) for path in UI.rglob("*.py"))
SCRIPTS = sorted(str(path.relative_to(UI)) for path in UI.rglob("static/scripts/*.js"))


def _left(name: str, found: Sequence[str]) -> list[str]:
    return [text for text in found if text not in NAMES and text not in NOT_SHOWN.get(name, ())]


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_text_of_a_template_is_a_message(name: str) -> None:
    assert _left(name, untranslated_in_template((UI / name).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("name", MODULES)
def test_each_text_of_a_module_of_the_pages_is_a_message(name: str) -> None:
    assert _left(name, untranslated_in_python((UI / name).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_text_of_a_script_is_a_message(name: str) -> None:
    assert _left(name, untranslated_in_script((UI / name).read_text(encoding="utf-8"))) == []


def test_a_text_outside_the_catalogue_is_found() -> None:
    assert untranslated_in_template("<p>{{ name }} is away</p>") == ["is away"]
    assert untranslated_in_template('<i aria-label="Close {{ name }}"></i>') == ["Close"]
    assert untranslated_in_template("{{ tables.column('Power state') }}") == ["Power state"]
    assert untranslated_in_template("<p>{{ _('Away') }}{% trans %}Away{% endtrans %}</p><code>lxc list</code>") == []
    assert (
        untranslated_in_template("{{ ngettext('{n} host', '{n} hosts', 2) }} {{ ngettext(a, 'Two hosts', 2) }}") == []
    )
    assert untranslated_in_python('a = f"{n} hosts are away"') == ["hosts are away"]
    assert untranslated_in_python('a = text("Away") + counted("{n} host", "{n} hosts", 2)') == []
    assert untranslated_in_python('def a():\n    """Returns the sum."""\n    raise NotFound("There is no page.")') == []
    assert untranslated_in_script('a("Not live"); t("Live now")') == ["Not live"]
