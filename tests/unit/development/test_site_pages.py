"""The generated pages of the documentation site have everything that the code declares."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from common.process.settings import documented
from development.generated.generated_section import CHECKOUT
from development.site import api_reference, command_reference
from development.site.manual import manual
from development.site.markdown import anchor
from development.site.navigation import navigation
from development.site.pages import all_pages
from development.site.sources import BrokenLink, Checkout
from innkeeper.api_description import read_description
from rackd.settings import RackSettings
from regiond.api.description.describe import describe
from regiond.api.description.openapi import openapi
from regiond.api.resources.registry import DESCRIBED, DOCUMENTED
from regiond.process.settings import RegionSettings

_LINK = re.compile(r"\]\(([^)#]*)#?([^)]*)\)")


@cache
def pages() -> dict[str, str]:
    return all_pages(Checkout(CHECKOUT))


def in_folder(folder: str) -> str:
    return "\n".join(text for path, text in pages().items() if path.startswith(f"{folder}/"))


def listed(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from listed(each)


def test_every_request_of_the_api_is_on_a_page() -> None:
    text = in_folder(api_reference.FOLDER)
    document = openapi(DOCUMENTED, version="1.0")
    found = api_reference.requests_of(document)
    methods = [each for item in document["paths"].values() for each in item if each != "parameters"]
    assert len(found) == len(methods)
    assert [one.line for one in found if f"```text\n{one.line}\n```" not in text] == []


def test_every_object_of_the_api_is_on_a_page() -> None:
    text = pages()[f"{api_reference.FOLDER}/objects.md"]
    names = openapi(DOCUMENTED, version="1.0")["components"]["schemas"]
    assert [name for name in names if f"## {name}\n" not in text] == []


def test_every_command_and_field_is_on_a_page() -> None:
    description = read_description(describe(DESCRIBED, origin=""))
    for resource in description.offered:
        text = pages()[f"{command_reference.FOLDER}/{resource.command}-commands.md"]
        for action in resource.actions.values():
            part = text.partition(f"## {resource.command} {action.command}\n")[2].partition("\n## ")[0]
            assert [name for name in action.fields if f"| `{name}` |" not in part] == []


@pytest.mark.parametrize(("name", "kind"), [("regiond.toml", RegionSettings), ("rackd.toml", RackSettings)])
def test_every_setting_is_in_its_manual_page(name: str, kind: type[Any]) -> None:
    (page,) = [one for one in manual() if one.name == name]
    source = page.for_man("1.0", date(2026, 1, 2)).replace("\\", "")
    assert [
        one.name for one in documented(kind) if f"**{one.name}**\n:   {one.doc.replace('*', '')}" not in source
    ] == []


def test_a_setting_is_shown_with_values_and_default() -> None:
    found = {one.name: (one.values, one.default) for one in documented(RegionSettings)}
    assert found["http_port"] == ("a whole number between 0 and 65535", "5240")
    assert found["trusted_proxies"] == ("a list of texts", '["127.0.0.0/8", "::1"]')
    assert found["proxy_headers"] == ("one of x-forwarded, forwarded", '"x-forwarded"')
    assert found["tls_key"] == ("a path", None)


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("innkeeper", ["innkeeper login PROFILE URL", "--wait", "--filter KEY=VALUE", "8 still running"]),
        ("regiond", ["regiond run", "regiond admin create [--username NAME]", "--config FILE", "SIGHUP"]),
        ("rackd", ["rackd join", "rackd run", "--config FILE", "SIGHUP"]),
    ],
)
def test_a_command_s_manual_page_has_its_help(name: str, terms: list[str]) -> None:
    (page,) = [one for one in manual() if one.name == name]
    source = page.for_man("1.0", date(2026, 1, 2)).replace("\\", "")
    assert source.startswith(f'% "{name.upper()}" "{page.section}" "2026-01-02" "Innkeeper 1.0" ')
    assert [term for term in terms if term not in source] == []


def test_every_page_is_in_the_navigation_once() -> None:
    found = list(listed(navigation(pages()["index.md"], pages())))
    assert sorted(found) == sorted(pages())


def test_the_navigation_has_the_kinds_of_documentation() -> None:
    _, *sections = navigation(pages()["index.md"], pages())
    kinds = [kind for section in sections for kind in section]
    assert kinds == ["Tutorial", "How-to guides", "Reference", "Explanation", "Decisions", "Project"]


def test_links_of_generated_pages_lead_to_headings() -> None:
    generated = {path: text for path, text in pages().items() if path.startswith("reference/generated/")}
    anchors = {
        path: {anchor(each) for each in re.findall("^## (.*)$", text, re.MULTILINE)} for path, text in pages().items()
    }
    links = {(path, *link) for path, text in generated.items() for link in _LINK.findall(text)}
    assert len(links) > 500
    for path, target, fragment in links:
        at = os.path.normpath(PurePosixPath(path).parent / target)
        assert at in anchors, (path, target)
        assert not fragment or fragment in anchors[at], (path, target, fragment)


def test_a_link_to_a_missing_file_is_an_error(tmp_path: Path) -> None:
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        (tmp_path / name).write_text("# Page\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("[gone](how-to/gone.md)\n")
    with pytest.raises(BrokenLink, match=r"docs/index\.md links to how-to/gone\.md"):
        Checkout(tmp_path).pages("")


def test_pages_name_no_folder_of_this_machine() -> None:
    generated = in_folder("reference/generated") + json.dumps(navigation(pages()["index.md"], pages()))
    assert str(CHECKOUT) not in generated
