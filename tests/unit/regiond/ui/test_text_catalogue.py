"""The catalogue of page texts: complete for the templates that use it, and shown when there is a translation."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from gettext import NullTranslations
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from jinja2 import nodes

from development.generated.generated_section import CHECKOUT
from development.generated.text_catalogue import CATALOGUE, catalogue, messages_of, with_plurals
from regiond.hosts.search.fields import HOST_FIELDS
from regiond.machines.searches.search.fields import MACHINE_FIELDS
from regiond.requests.search_query import SearchField
from regiond.ui.rendering.notes import cleared_cookie
from regiond.ui.rendering.renderer import Renderer
from regiond.ui.rendering.static_files import StaticFiles
from regiond.ui.serving.kept_form import KeptForm
from regiond.ui.serving.session_cookie import set_cookie
from regiond.ui.texts import constant, counted, reading_in, text
from tests.unit.support.pages.page_files import templates
from tests.unit.support.text_search import Texts

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
# Names, amounts and times; scripts replace "Live" and "System".
NO_TEXTS = {"Innkeeper", "mira", "Name", "3", "12:00:00 UTC", "Live", "System", "region.example"}
FRAME = SimpleNamespace(
    entries=(SimpleNamespace(name="[Hosts]", icon="host", segment="hosts", count="3", alert=None),),
    running="2", running_count=2, last=None, heartbeat_s=5.0,
)  # fmt: skip
KEPT = KeptForm(address="/MAAS/ui/zones/add", text="name=3")
VALUES: dict[str, dict[str, Any]] = {
    "login.html": {"next_url": "", "username": "mira", "notice": "Ended.", "error": "", "host": "region.example",
                   "kept": KEPT},
    "send_again.html": {"kept": KEPT, "csrf": "", "username": "mira", "next_url": ""},
    "bare_error.html": {"title": "Away", "message": "", "request_id": "1", "address": "", "retries": True,
                        "sent": KEPT.fields},
    "page.html": {"title": "mira", "section": "", "frame": FRAME, "csrf": "", "position": "", "note": None,
                  "caller": SimpleNamespace(username="mira", is_admin=True)},
}  # fmt: skip


class Marked(NullTranslations):
    """Puts each text in brackets."""

    def gettext(self, message: str) -> str:
        return f"[{message}]"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"[{msgid1 if n == 1 else msgid2}]"


def present() -> str:
    return (CHECKOUT / CATALOGUE).read_text(encoding="utf-8")


def test_the_catalogue_has_the_texts_of_the_present_pages() -> None:
    assert present() == catalogue(), "run python -m development.generated.text_catalogue --write"


def test_the_catalogue_has_each_message_once() -> None:
    """As gettext's tools demand: a message with a plural somewhere has it everywhere."""
    messages = re.findall(r'^msgid "(.*)"$', present(), re.MULTILINE)
    assert [message for message, number in Counter(messages).items() if number > 1] == []


def test_a_message_has_one_plural() -> None:
    found = with_plurals({("{n} more",): ["a.html"], ("{n} more", "{n} more"): ["b.html"], ("All",): ["a.html"]})
    assert found == {("{n} more", "{n} more"): ["a.html", "b.html"], ("All",): ["a.html"]}
    with pytest.raises(ValueError, match="has two plurals"):
        with_plurals({("{n} more", "{n} more"): ["a.html"], ("{n} more", "{n} others"): ["b.html"]})


def test_a_message_with_a_plural_is_translated_where_it_has_none() -> None:
    """`GNUTranslations.gettext` does not find it before Python 3.13."""

    class WithPlural(NullTranslations):
        def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
            return "Gestell" if msgid1 == "Rack" and n == 1 else msgid1

    with reading_in(WithPlural()):
        assert text("Rack") == "Gestell"
        assert text("Away") == "Away"


def test_an_empty_text_stays_empty() -> None:
    """A compiled catalogue has its head as the translation of the empty message."""
    with reading_in(Marked()):
        assert text("") == ""
        assert str(constant("")) == ""


def test_messages_are_texts_and_neither_markup_nor_commands() -> None:
    messages = re.findall(r'^msgid(?:_plural)? "(.*)"$', present(), re.MULTILINE)
    code = re.compile(r"[=<>$|\\]|\bik-|^(lxc|virsh|innkeeper) |\{[_A-Z]")
    assert len(messages) > 1000
    assert [message for message in messages if code.search(message)] == []


def hidden_in(template: str) -> list[str]:
    """Returns the names of functions of the catalogue that a template uses for something else."""
    parsed = jinja2.Environment(extensions=["jinja2.ext.i18n"], autoescape=True).parse(template)
    assigned = {name.name for name in parsed.find_all(nodes.Name) if name.ctx != "load"}
    return sorted(assigned & {"_", "gettext", "ngettext"})


def test_no_template_hides_the_functions_of_the_catalogue() -> None:
    assert [name for name, path in templates() if hidden_in(path.read_text(encoding="utf-8"))] == []
    assert hidden_in("{% set _ = 1 %}") == hidden_in("{% for _ in range(2) %}{% endfor %}") == ["_"]
    assert hidden_in("{% macro one(_) %}{% endmacro %}") == ["_"]


@pytest.mark.parametrize("template", VALUES)
def test_a_translation_reaches_every_text_of_a_page(template: str) -> None:
    renderer = Renderer(StaticFiles.packaged(), version="1")
    with reading_in(Marked()):
        page = renderer.page(template, NOW, **VALUES[template]).body.decode()
    texts = Texts(page, {"svg", "title", "script"}).found
    assert len(texts) > 4
    assert [text for text in texts if not text.startswith("[") and text not in NO_TEXTS] == []


@pytest.mark.parametrize("template", ["login.html", "send_again.html", "page.html"])
def test_without_a_translation_texts_are_as_written(template: str) -> None:
    page = Renderer(StaticFiles.packaged(), version="1").page(template, NOW, **VALUES[template]).body.decode()
    source = (CHECKOUT / "regiond/ui/templates" / template).read_text()
    written = [message[0] for message in messages_of(source) if not re.search(r"%\(|\{", message[0])]
    assert written
    assert [text for text in written if text not in page] == []


def test_values_in_texts_are_escaped() -> None:
    renderer = Renderer(StaticFiles.packaged(), version="1")
    with reading_in(Marked()):
        page = renderer.page("send_again.html", NOW, **VALUES["send_again.html"] | {"username": "<b>mira</b>"}).body
    assert b"&lt;b&gt;mira" in page
    assert b"<b>mira" not in page


def test_python_code_makes_texts_in_the_readers_language() -> None:
    with reading_in(Marked()):
        assert text("{name} is away", name="elm") == "[elm is away]"
        assert counted("{n} host", "{n} hosts", 1) == "[1 host]"
        assert counted("{n} host", "{n} hosts", 1200) == "[1,200 hosts]"
    assert text("{name} is away", name="elm") == "elm is away"


def test_a_text_without_values_keeps_its_braces() -> None:
    assert text("Write {name}") == "Write {name}"


AWAY = constant("{} away")


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{{ it }}", "[{} away]"), ("{{ _(it) }}", "[{} away]"), ('{{ "a " ~ it }}', "a [{} away]"),
        ("{{ [it, it] | join(' ') }}", "[{} away] [{} away]"), ('<a title="{{ it }}">', '<a title="[{} away]">'),
        ("{{ it | lower }}", "[{} away]"), ("{{ it.format('elm') }}", "[elm away]"),
        ("{% trans %}So {{ it }}{% endtrans %}", "[So [{} away]]"), ("{{ _('So {it}', it=it) }}", "[So [{} away]]"),
    ],
)  # fmt: skip
def test_a_constant_is_translated_where_it_is_shown(template: str, shown: str) -> None:
    environment = jinja2.Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    environment.install_gettext_callables(text, counted, newstyle=False)  # type: ignore[attr-defined]  # as the renderer
    with reading_in(Marked()):
        assert environment.from_string(template).render(it=AWAY) == shown
        assert (f"{AWAY}", AWAY[:3], AWAY.lower()) == ("[{} away]", "[{}", "[{} away]")
    assert environment.from_string(template).render(it=AWAY) == shown.replace("[", "").replace("]", "")


def test_a_constant_is_a_key_as_it_is_written_and_is_escaped() -> None:
    environment = jinja2.Environment(autoescape=True)
    with reading_in(Marked()):
        assert {AWAY: 1}["{} away"] == 1
        assert environment.from_string("{{ it }}").render(it=constant("<b> & c")) == "[&lt;b&gt; &amp; c]"


def test_a_translation_changes_no_cookie() -> None:
    english = set_cookie("token", secure=True, lifetime=timedelta(hours=1))
    with reading_in(Marked()):
        assert set_cookie("token", secure=True, lifetime=timedelta(hours=1)) == english
        assert cleared_cookie(path="/MAAS/ui/", secure=True).endswith("; HttpOnly; SameSite=Lax; Secure")


def test_a_page_gives_its_scripts_only_texts_that_are_translated() -> None:
    renderer = Renderer(StaticFiles.packaged(), version="1")
    assert b'id="texts"' not in renderer.page("login.html", NOW, **VALUES["login.html"]).body
    with reading_in(Marked()):
        page = renderer.page("login.html", NOW, **VALUES["login.html"]).body.decode()
    given = json.loads(page.split('id="texts">')[1].split("</script>")[0])
    assert given["{count} selected"] == "[{count} selected]"


@pytest.mark.parametrize("fields", [HOST_FIELDS, MACHINE_FIELDS], ids=["hosts", "machines"])
def test_the_help_of_each_search_is_in_the_catalogue(fields: Mapping[str, SearchField]) -> None:
    known = catalogue()
    assert [one.doc for one in fields.values() if f'msgid "{one.doc}"' not in known] == []
