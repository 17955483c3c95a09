"""Texts of pages as messages of a gettext catalogue, in the language of whoever reads the page.

Templates call `_('…')` and `ngettext('…', '…', number)`, or have `{% trans %}` blocks. Python code calls `text` and
`counted` where it makes a text, and marks one that it makes before any request, a constant of a module, by `constant`:
the template that shows it translates it, `_(notice)`, or the code that uses it does, `text(NOTICE)`. Scripts call
`t("…")`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from gettext import NullTranslations

_translations: ContextVar[NullTranslations] = ContextVar("translations")
_ENGLISH = NullTranslations()
_IN_SCRIPT = re.compile(r"""\bt\("((?:[^"\\]|\\.)*)\"""")


def text(message: str, /, **values: object) -> str:
    """Returns the message in the reader's language, with `values` in place of their names in braces."""
    found = _translations.get(_ENGLISH).gettext(message)
    return found.format_map(values) if values else found


def counted(one: str, many: str, number: int, /, **values: object) -> str:
    """Returns the message for so many; `{n}` in it is the number."""
    found = _translations.get(_ENGLISH).ngettext(one, many, number)
    return found.format_map({"n": f"{number:,}", **values})


def constant(message: str) -> str:
    """Returns the message as it is written, which the catalogue gets: it is a literal."""
    return message


@contextmanager
def reading_in(translations: NullTranslations) -> Iterator[None]:
    """Texts that are made within are in this language."""
    token = _translations.set(translations)
    try:
        yield
    finally:
        _translations.reset(token)


def messages_of_script(source: str) -> list[str]:
    """Returns the messages that a script shows, in their order."""
    return _IN_SCRIPT.findall(source)


def texts_of_scripts(messages: Iterable[str]) -> Mapping[str, str]:
    """Returns those that read otherwise in the reader's language; a page gives them to its scripts."""
    if _translations.get(None) is None:
        return {}
    return {message: found for message in messages if (found := text(message)) != message}
