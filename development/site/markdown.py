"""Markdown of a code forge, written as Python-Markdown reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from attrs import field, frozen

_FENCE = re.compile(r"(?P<indent> *)(?P<ticks>```+)(?P<language>[\w+-]*)")
_ITEM = re.compile(r" *(?P<marker>(?:[-*]|\d+\.) +)\S")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(
    r"(?P<code>^ *```.*?^ *```|`+[^`]*`+)|(?P<image>!?)\[(?P<text>(?:`[^`]*`|[^\]`])*)\]\((?P<target>[^)\s]+)\)",
    re.DOTALL | re.MULTILINE,
)
_NESTED = 4  # columns for each level of a list


@frozen
class _Lists:
    """The columns at which the content of the open list items starts."""

    columns: list[int] = field(factory=list)

    def level_of(self, indent: int) -> int:
        while self.columns and indent < self.columns[-1]:
            self.columns.pop()
        return len(self.columns)

    def moved(self, line: str, level: int) -> str:
        kept = self.columns[level - 1] if level else 0
        return " " * (_NESTED * level) + line[min(kept, _indent(line)) :]


def for_site(text: str, target_of: Callable[[str], str | None]) -> str:
    """Returns the page with other link targets, list content indented by four columns, and fences without arguments.

    `target_of` returns the new target of a link; None removes the link and keeps its text. Links in code stay.
    """
    linked = _LINK.sub(lambda found: _linked(found, target_of), _COMMENT.sub("\n", text))
    return "\n".join(_lines(linked))


def escaped(text: str) -> str:
    """Returns plain text so that it reads the same in Markdown: nothing in it is a link, an emphasis or HTML."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", text).replace("<", "&lt;").replace(">", "&gt;")


def anchor(heading: str) -> str:
    """Returns the id of a heading of words, hyphens, underscores and other punctuation, as the site makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _lines(text: str) -> Iterator[str]:
    lists = _Lists()
    fence = ""
    level, previous = 0, ""
    for line in text.splitlines():
        if fence:
            if line.strip() == fence:
                fence = ""
            yield lists.moved(line, level) if line.strip() else line
        elif found := _FENCE.match(line):
            level = lists.level_of(_indent(line))
            fence = found["ticks"]
            yield lists.moved(found["indent"] + fence + found["language"], level)
        elif not line.strip():
            yield ""
        else:
            item = _ITEM.match(line)
            continues = previous.strip() and not item and not _indent(line)
            level = len(lists.columns) if continues else lists.level_of(_indent(line))
            yield lists.moved(line, level)
            if item:
                lists.columns.append(_indent(line) + len(item["marker"]))
        previous = line
    yield ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _linked(found: re.Match[str], target_of: Callable[[str], str | None]) -> str:
    if found["code"] is not None:
        return found[0]
    target = target_of(found["target"])
    return found["text"] if target is None else f"{found['image']}[{found['text']}]({target})"
