"""What the web pages load: built from the present sources, from nowhere else, with its licences, in bounds."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from regiond.ui.rendering.static_files import StaticFiles
from tests.unit.support.pages.page_files import templates

ROOT = Path(__file__).parents[4]
ASSETS, STATIC, TEMPLATES = ROOT / "assets", ROOT / "regiond/ui/static", ROOT / "regiond/ui/templates"
BUILT = STATIC / "built"


def test_the_built_files_are_those_of_the_sources() -> None:
    recorded = dict(line.split()[::-1] for line in (BUILT / "sources.sha256").read_text().splitlines())
    present = {
        name: hashlib.sha256((ASSETS / name).read_bytes()).hexdigest()
        for name in ("app.scss", "package-lock.json", "spice.js", "vnc.js")
    }
    assert recorded == present, "run ./dev assets and commit regiond/ui/static/built"


def test_the_style_sheet_loads_nothing_from_elsewhere() -> None:
    css = (BUILT / "app.css").read_text()
    assert re.findall(r"url\(['\"]?(?:https?:)?//", css) == []
    assert "@import" not in css


def test_libraries_and_fonts_have_their_licences() -> None:
    assert {path.stem for path in STATIC.rglob("licences/*")} == {
        "htmx",
        "inter",
        "novnc",
        "spice-html5",
        "vanilla-framework",
        "xterm",
    }


def test_scripts_and_styles_are_in_their_budgets() -> None:
    assert (
        sum(map(len, StaticFiles.packaged().own_scripts.values())) <= 22_000
    )  # 2,000 for messages, ended sessions and what a form sends after one; tests.bench.figures.ui measures the same
    assert (BUILT / "htmx.min.js").stat().st_size <= 60_000
    assert (BUILT / "xterm.js").stat().st_size <= 360_000  # of the console page alone
    assert (BUILT / "vnc.js").stat().st_size <= 200_000  # of the page of a screen alone, which loads one of these
    assert (BUILT / "spice.js").stat().st_size <= 160_000
    assert (BUILT / "app.css").stat().st_size <= 350_000


@pytest.mark.parametrize("name", ["theme", "session", "times", "live"])
def test_scripts_are_sent_without_comments_and_with_all_their_code(name: str) -> None:
    sent = StaticFiles.packaged().contents[f"scripts/{name}.js"].decode()
    written = [line.strip() for line in (STATIC / f"scripts/{name}.js").read_text().splitlines()]
    code = [re.sub(r"\s// .*", "", line) for line in written if line and not line.startswith("//")]
    assert "".join(sent.split()) == "".join("".join(code).split())
    # A line end may end a statement, and stays, except after signs that never let it.
    ends = ["".join(line.split()) for line in re.sub(r"([{;,(\[])\n", r"\1", "\n".join(code)).split("\n")]
    assert ["".join(line.split()) for line in sent.split("\n")] == ends
    strings = re.compile(r'"[^"]*"')
    assert strings.findall(sent) == strings.findall("\n".join(code))


def test_templates_need_no_exception_from_the_content_security_policy() -> None:
    forbidden = re.compile(
        r"style=\"|hx-on|hx-vars|hx-vals='js:|hx-trigger=\"[^\"]*\[|<script>|javascript:|\|\s*safe\b"
    )
    found = [f"{name}: {match[0]}" for name, path in templates() for match in forbidden.finditer(path.read_text())]
    assert found == []


def test_the_style_sheet_draws_the_same_icons_as_the_pages() -> None:
    """Rows of long lists have icons without markup."""
    symbols = re.findall(r'<symbol id="i-([a-z-]+)".*?>(.*?)</symbol>', (TEMPLATES / "icons.svg").read_text())
    shapes = {name: _geometry(symbol) for name, symbol in symbols}
    drawn = dict(re.findall(r"\.ik-i-([a-z-]+)\{--ik-i: ?url\(\"data:image/svg\+xml,([^\"]*)\"\)", _css()))
    for name, picture in drawn.items():
        assert _geometry(picture) - _geometry("<path d='M0 0h16v16H0z'/>") == shapes[name], name
    states = (TEMPLATES / "components/states.html").read_text()
    wanted = re.findall(r"""\("[a-z]+", "([a-z-]+)", _\('[A-Z][a-z ]+'\)\)""", states)
    assert set(wanted) >= {"ok", "spinner", "play"}
    assert set(wanted) <= set(drawn)


def _css() -> str:
    return (BUILT / "app.css").read_text()


def _geometry(svg: str) -> set[tuple[str, str]]:
    """What the shapes of a picture are, without their looks."""
    return set(re.findall(r"\b(d|cx|cy|r)=[\"']([^\"']+)[\"']", svg))
