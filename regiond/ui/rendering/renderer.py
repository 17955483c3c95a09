"""Renders pages from templates in the frame that all pages share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from common.words.operation_kinds import words_of
from regiond.api.replies import Reply
from regiond.ui.rendering.static_files import StaticFiles
from regiond.ui.texts import counted, text, texts_of_scripts
from regiond.ui.views import formats
from regiond.ui.views.placement_view import has_reasons_of_hosts, rejections
from regiond.ui.web_request import UI, page_url
from regiond.ui.words.api_field_words import api_field_words
from regiond.ui.words.field_labels import labels_of, labels_of_fields, row_labels
from regiond.ui.words.step_words import step_words
from regiond.ui.words.task_facts import FACTS
from regiond.ui.words.vm_state_words import VM_STATE_WORDS

HTML = "text/html; charset=utf-8"
_SYMBOL = re.compile(r'<symbol id="i-([a-z-]+)".*?</symbol>', re.DOTALL)
_INCLUDED = re.compile(r'{% include "([^"]+)"')


class Renderer:
    """Renders in the language of whoever reads: see `texts`. `now` is the wall clock."""

    def __init__(self, static: StaticFiles, *, version: str, templates: Iterable[str] = ()) -> None:
        """`templates` are packages with further templates."""
        self._script_texts = static.script_texts
        self._version = version
        self._icons = _icons()
        self._labels_by_template: dict[str, Mapping[str, str]] = {}
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader([jinja2.PackageLoader(one) for one in ("regiond.ui", *templates)]),
            autoescape=True,
            extensions=["jinja2.ext.i18n"],
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        i18n: Any = self._environment  # the extension adds methods
        i18n.install_gettext_callables(text, counted, newstyle=False)  # `_` gives plain text
        self._environment.globals |= {
            "ui": UI, "url": page_url, "static": static.url, "version": version, "dash": formats.DASH,
            "vm_state_words": VM_STATE_WORDS, "kind_words": words_of, **FACTS,
        }  # fmt: skip
        self._environment.filters |= {
            "number": formats.number, "gib": formats.gib, "memory": formats.memory, "gb": formats.gb,
            "storage": formats.storage, "file_size": formats.file_size, "ranges": formats.ranges, "iso": formats.iso,
            "rejections": rejections, "api_field": api_field_words, "has_reasons_of_hosts": has_reasons_of_hosts,
            "labels": labels_of_fields, "disk_of": formats.disk_of,
            "step_words": step_words, "percent": formats.percent, "rate": formats.rate, "limits": formats.limits,
            "mebibytes": formats.mebibytes,
        }  # fmt: skip

    def page(self, template: str, now: datetime, *, status: int = 200, **values: Any) -> Reply:
        return html_reply(self._render(template, now, {"status": status, **values}), status=status)

    def _labels(self, template: str) -> Mapping[str, str]:
        """Returns the labels of the fields of a template, which it has read once."""
        if template not in self._labels_by_template:
            self._labels_by_template[template] = labels_of(_chain(self._environment, template))
        return self._labels_by_template[template]

    def _render(self, template: str, now: datetime, values: Mapping[str, Any]) -> str:
        used: dict[str, None] = {}  # the icons, in the order of their use

        def icon(name: str, *classes: str) -> Markup:
            used[name] = None
            extra = "".join(f" ik-icon--{each}" for each in classes)
            return Markup('<svg class="ik-icon{}" aria-hidden="true"><use href="#i-{}"/></svg>').format(extra, name)

        def sprite() -> Markup:
            return Markup("".join(self._icons[name] for name in used))  # noqa: S704  # our own file

        def moment(at: datetime) -> Markup:
            """The time as `clock`, in an element that scripts turn into the reader's zone."""
            return Markup('<time datetime="{:%Y-%m-%dT%H:%M:%SZ}">{}</time>').format(
                at.astimezone(UTC), formats.clock(at, now)
            )

        context = {
            "icon": icon,
            "sprite": sprite,
            "now": now,
            "clock": partial(formats.clock, now=now),
            "moment": moment,
            "ago": partial(formats.ago, now=now),
            "span": formats.span,
            "duration": formats.duration,
            "row_labels": row_labels(),
            "script_texts": texts_of_scripts(self._script_texts),
            "field_labels": {**self._labels(template), **labels_of_fields(values.get("form_fields", ()))},
            **values,
        }
        return self._environment.get_template(template).render(context)


def _chain(environment: jinja2.Environment, template: str) -> str:
    """Returns the source of a template and of the templates that it includes."""
    loader = environment.loader
    source = loader.get_source(environment, template)[0] if loader else ""
    return source + "".join(_chain(environment, name) for name in _INCLUDED.findall(source))


def html_reply(text: str, *, status: int = 200) -> Reply:
    return Reply(status=status, body=text.encode("utf-8", "replace"), content_type=HTML)


def _icons() -> dict[str, str]:
    text = files("regiond.ui").joinpath("templates/icons.svg").read_text("utf-8")
    return {found[1]: found[0] for found in _SYMBOL.finditer(text)}
