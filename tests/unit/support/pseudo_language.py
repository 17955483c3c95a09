"""A pseudo-language, made from the catalogue, whose messages have no Latin letters."""

from __future__ import annotations

import re
from gettext import NullTranslations

from development.generated.generated_section import CHECKOUT
from development.generated.text_catalogue import CATALOGUE

_MESSAGE = re.compile(r'^msgid(?:_plural)? "(.*)"$', re.MULTILINE)
_LETTER = re.compile(r"\{\w+\}|%\(\w+\)s|[A-Za-z]")


class Pseudo(NullTranslations):
    """Writes messages of the catalogue without Latin letters, but for the names of values; what it lacks is English."""

    def __init__(self) -> None:
        super().__init__()
        found = _MESSAGE.findall((CHECKOUT / CATALOGUE).read_text(encoding="utf-8"))
        self._known = {message.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\") for message in found}

    def gettext(self, message: str) -> str:
        return _LETTER.sub(_foreign, message) if message in self._known else message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


def _foreign(found: re.Match[str]) -> str:
    return "ж" if len(found[0]) == 1 else found[0]
