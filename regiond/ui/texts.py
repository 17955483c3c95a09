"""Texts of pages as messages of a gettext catalogue, in the language of whoever reads the page.

Templates call `_('…')` and `ngettext('…', '…', number)`, or have `{% trans %}` blocks. Python code calls `text` and
`counted` where it makes a text, and marks one that it makes before any request, a constant of a module, by `constant`:
it is translated when it is shown. Scripts call `t("…")`. Rooms below the pages write English by
`common.words.messages`, which the API shows as it is and pages translate by `translated`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from gettext import NullTranslations
from typing import SupportsIndex

from markupsafe import escape

from common.words.messages import said_with

_translations: ContextVar[NullTranslations] = ContextVar("translations")
_ENGLISH = NullTranslations()
_IN_SCRIPT = re.compile(r"""\bt\("((?:[^"\\]|\\.)*)\"""")


def text(message: str, /, **values: object) -> str:
    """Returns the message in the reader's language, with `values` in place of their names in braces."""
    if not message:
        return ""  # a compiled catalogue has its head there
    written = str.__str__(message)  # a Constant too
    translations = _translations.get(_ENGLISH)
    found = translations.gettext(written)
    if found == written and translations is not _ENGLISH:
        found = translations.ngettext(
            written, written, 1
        )  # before Python 3.13, a message with a plural is found so only
    return found.format_map(values) if values else found


def counted(one: str, many: str, number: int, /, **values: object) -> str:
    """Returns the message for so many; `{n}` in it is the number."""
    found = _translations.get(_ENGLISH).ngettext(one, many, number)
    return found.format_map({"n": f"{number:,}", **values})


def translated(message: str) -> str:
    """Returns a message of a room below the pages in the reader's language; other texts as they are."""
    return said_with(message, text, counted)


class Constant(str):
    """A message that is made before any request, and translated when it is printed in a template or an f-string.

    It compares and hashes as it is written. `str.join` does not translate its elements: join `text(constant)`.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return text(self)

    def __html__(self) -> str:
        return escape(str(self))

    def __getitem__(self, key: SupportsIndex | slice, /) -> str:
        return str(self)[key]

    def format(self, *args: object, **values: object) -> str:
        return str(self).format(*args, **values)

    def capitalize(self) -> str:
        return str(self).capitalize()

    def lower(self) -> str:
        return str(self).lower()


def constant(message: str) -> str:
    """Returns a `Constant`; the catalogue gets the message, so it is a literal."""
    return Constant(message)


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
