"""The navigation of the site, in the order of docs/index.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from development.site import api_reference, command_reference, manual
from development.site.sources import DECISIONS, PROJECT_PAGES

MODULES = "reference/generated/modules"  # the folder of the module tree
_KIND = re.compile(r"\*\*(?P<kind>[^*]+)\*\*")
_PAGE = re.compile(r"\]\((?P<page>[^)#]+\.md)(?:#[^)]*)?\)")
_REFERENCES = (
    ("HTTP API", api_reference.FOLDER),
    ("Commands", command_reference.FOLDER),
    ("Manual pages", manual.FOLDER),
    ("Modules", MODULES),
)


def list_of_generated_pages() -> str:
    """Returns lines of Markdown for docs/index.md."""
    manuals = ", ".join(f"[{page.name}({page.section})]({manual.FOLDER}/{page.file}.md)" for page in manual.manual())
    return (
        f"- [Requests of the HTTP API]({api_reference.FOLDER}/index.md), and the objects that they answer\n"
        f"- [Commands of innkeeper]({command_reference.FOLDER}/index.md)\n"
        f"- Manual pages: {manuals}\n"
        f"- [Modules]({MODULES}/index.md) of the code, with a line for each"
    )


def navigation(index: str, pages: Iterable[str]) -> list[Any]:
    """Returns `nav` of MkDocs: a section for each kind in the index of the site, with the pages that it lists.

    MkDocs takes the titles from the pages, and reports a page that no section has.
    """
    elsewhere = {"index.md", DECISIONS, *PROJECT_PAGES.values()}
    generated = {page: title for title, folder in _REFERENCES for page in pages if page.startswith(f"{folder}/")}
    sections: dict[str, list[Any]] = {}
    kind = ""
    for line in index.splitlines():
        if found := _KIND.fullmatch(line):
            kind = found["kind"]
        listed = [page for page in _PAGE.findall(line) if page not in elsewhere and page not in generated]
        sections.setdefault(kind, []).extend(dict.fromkeys(listed))
    sections["Reference"] += [{title: _of(title, generated)} for title, _ in _REFERENCES]
    sections["Decisions"] = [
        DECISIONS,
        *sorted(page for page in pages if page.startswith("decisions/") and page != DECISIONS),
    ]
    sections["Project"] = list(PROJECT_PAGES.values())
    return ["index.md", *({kind: listed} for kind, listed in sections.items() if listed)]


def _of(title: str, generated: Mapping[str, str]) -> list[str]:
    """Returns the pages with that title, the overview first."""
    return sorted(
        (page for page, its in generated.items() if its == title),
        key=lambda page: (not page.endswith("/index.md"), page),
    )
