"""Writes `pages.pot`, the catalogue of page texts, from templates, Python code and scripts: `--write`.

python -m development.generated.text_catalogue [--write]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import jinja2

from development.generated.generated_section import CHECKOUT
from regiond.ui.texts import messages_of_script

CATALOGUE = Path("regiond/ui/locale/pages.pot")
_UI, _SCRIPTS = Path("regiond/ui"), Path("regiond/ui/static/scripts")
FOLDERS = (_UI, Path("regiond/maas/pages"))  # with pages and their templates
# Modules below the pages whose English texts pages translate: see `common.words.messages`.
BELOW = (
    "common/words/operation_kinds.py", "common/words/operation_words.py", "regiond/attention/certificate_wording.py",
    "regiond/attention/host_wording.py",
    "regiond/attention/machine_wording.py", "regiond/attention/quota_use.py",
    "regiond/attention/wording.py", "regiond/usage/model.py", "regiond/usage/service.py",
)  # fmt: skip
_HEAD = """# Texts of Innkeeper's web pages. Written by `python -m development.generated.text_catalogue --write`.
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"""


def catalogue(checkout: Path = CHECKOUT) -> str:
    """Returns the catalogue: each message once, with the files that have it, in the order of files and lines."""
    places: dict[tuple[str, ...], list[str]] = {}
    for folder in FOLDERS:
        for path in sorted((checkout / folder / "templates").rglob("*.html")):
            for message in messages_of(path.read_text(encoding="utf-8")):
                _add(places, message, _named(path.relative_to(checkout)))
    for folder in FOLDERS:
        for path in sorted((checkout / folder).rglob("*.py")):
            for marked in marked_in(ast.parse(path.read_text(encoding="utf-8"))):
                _add(places, marked, _named(path.relative_to(checkout)))
    for path in sorted(checkout / name for name in BELOW):
        for marked in marked_in(ast.parse(path.read_text(encoding="utf-8"))):
            _add(places, marked, path.relative_to(checkout))
    for path in sorted((checkout / "regiond").rglob("search/fields.py")):
        for doc in docs_of_fields(ast.parse(path.read_text(encoding="utf-8"))):
            _add(places, (doc,), path.relative_to(checkout / "regiond"))
    for script in sorted((checkout / _SCRIPTS).rglob("*.js")):
        for shown in messages_of_script(script.read_text(encoding="utf-8")):
            _add(places, (shown,), script.relative_to(checkout / _UI))
    return _HEAD + "".join(_entry(message, found) for message, found in with_plurals(places).items())


def _named(path: Path) -> Path:
    return path.relative_to(_UI) if path.is_relative_to(_UI) else path


def messages_of(template: str) -> Iterator[tuple[str, ...]]:
    """Returns the messages of a template; those with a plural are pairs."""
    environment = jinja2.Environment(extensions=["jinja2.ext.i18n"], autoescape=True, trim_blocks=True)
    extracted = environment.extract_translations(template)  # type: ignore[attr-defined]  # the extension adds it
    for _, _, message in extracted:
        texts = message if isinstance(message, tuple) else (message,)
        if literal := tuple(text for text in texts if isinstance(text, str)):
            yield literal


def marked_in(tree: ast.Module) -> Iterator[tuple[str, ...]]:
    """Returns the messages of Python code; those with a plural are pairs."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name(id="text" | "constant" | "message" | "marked"),
                args=[ast.Constant(value=str(message)), *_],
            ):
                yield (message,)
            case ast.Call(
                func=ast.Name(id="counted" | "counted_message"),
                args=[ast.Constant(value=str(one)), ast.Constant(value=str(many)), *_],
            ):
                yield (one, many)


def docs_of_fields(tree: ast.Module) -> Iterator[str]:
    """Returns what is said of the fields of a search: the help of the search on pages shows it."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="SearchField"), keywords=keywords):
                for keyword in keywords:
                    match keyword:
                        case ast.keyword(arg="doc", value=ast.Constant(value=str(doc))):
                            yield doc


def with_plurals(places: Mapping[tuple[str, ...], list[str]]) -> dict[tuple[str, ...], list[str]]:
    """Returns the messages with each singular once, since gettext's tools reject a second: one with a plural wins.

    `gettext` finds it too. Raises ValueError if a message has two plurals.
    """
    plurals: dict[str, tuple[str, ...]] = {}
    for message in places:
        if len(message) > 1 and plurals.setdefault(message[0], message) != message:
            raise ValueError(f"{message[0]!r} has two plurals: {plurals[message[0]][1]!r} and {message[1]!r}")
    found: dict[tuple[str, ...], list[str]] = {}
    for message, files in places.items():
        known = found.setdefault(plurals.get(message[0], message), [])
        known += [file for file in files if file not in known]
    return found


def _add(places: dict[tuple[str, ...], list[str]], message: tuple[str, ...], path: Path) -> None:
    found = places.setdefault(message, [])
    if str(path) not in found:
        found.append(str(path))


def _entry(message: tuple[str, ...], places: list[str]) -> str:
    lines = [f"#: {place}" for place in places]
    if any("%(" in each for each in message):
        lines.append("#, python-format")
    elif any("{" in each for each in message):
        lines.append("#, python-brace-format")
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
