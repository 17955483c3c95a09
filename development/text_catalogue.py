"""Writes the template of the catalogue of page texts, `pages.pot`, from templates and Python code: `--write`.

python -m development.text_catalogue [--write]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2

from development.generated_section import CHECKOUT

CATALOGUE = Path("regiond/ui/locale/pages.pot")
_UI, _TEMPLATES = Path("regiond/ui"), Path("regiond/ui/templates")
_HEAD = """# Texts of Innkeeper's web pages. Written by `python -m development.text_catalogue --write`.
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"""


def catalogue(checkout: Path = CHECKOUT) -> str:
    """Returns the catalogue: each message once, with the files that have it, in the order of files and lines."""
    places: dict[tuple[str, ...], list[str]] = {}
    for path in sorted((checkout / _TEMPLATES).rglob("*.html")):
        for message in messages_of(path.read_text(encoding="utf-8")):
            _add(places, message, path.relative_to(checkout / _UI))
    for path in sorted((checkout / _UI).rglob("*.py")):
        for marked in _marked(ast.parse(path.read_text(encoding="utf-8"))):
            _add(places, (marked,), path.relative_to(checkout / _UI))
    return _HEAD + "".join(_entry(message, found) for message, found in places.items())


def messages_of(template: str) -> Iterator[tuple[str, ...]]:
    """Returns the messages of a template; those with a plural are pairs."""
    environment = jinja2.Environment(extensions=["jinja2.ext.i18n"], autoescape=True, trim_blocks=True)
    extracted = environment.extract_translations(template)  # type: ignore[attr-defined]  # the extension adds it
    for _, _, message in extracted:
        texts = message if isinstance(message, tuple) else (message,)
        if literal := tuple(text for text in texts if isinstance(text, str)):
            yield literal


def _marked(tree: ast.Module) -> Iterator[str]:
    """Texts in calls of `text`, and the names of entries of the navigation."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="text"), args=[ast.Constant(value=str(message))]):
                yield message
            case ast.Call(
                func=ast.Name(id="Entry"), keywords=[ast.keyword("name", ast.Constant(value=str(message))), *_]
            ):
                yield message


def _add(places: dict[tuple[str, ...], list[str]], message: tuple[str, ...], path: Path) -> None:
    found = places.setdefault(message, [])
    if str(path) not in found:
        found.append(str(path))


def _entry(message: tuple[str, ...], places: list[str]) -> str:
    lines = [f"#: {place}" for place in places]
    if any("%(" in each for each in message):
        lines.append("#, python-format")
    if len(message) == 1:
        lines += [f"msgid {_quoted(message[0])}", 'msgstr ""']
    else:
        lines += [f"msgid {_quoted(message[0])}", f"msgid_plural {_quoted(message[1])}", 'msgstr[0] ""', 'msgstr[1] ""']
    return "\n" + "\n".join(lines) + "\n"


def _quoted(message: str) -> str:
    escaped = message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def main() -> None:
    text = catalogue()
    if sys.argv[1:] == ["--write"]:
        path = CHECKOUT / CATALOGUE
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
