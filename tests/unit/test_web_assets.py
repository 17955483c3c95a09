"""What the web pages load: built from the present sources, from nowhere else, with its licences, in bounds."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASSETS, STATIC, TEMPLATES = ROOT / "assets", ROOT / "regiond/ui/static", ROOT / "regiond/ui/templates"


def test_the_built_files_are_those_of_the_sources() -> None:
    recorded = dict(line.split()[::-1] for line in (STATIC / "sources.sha256").read_text().splitlines())
    present = {
        str(path.relative_to(ASSETS)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in ASSETS.rglob("*")
        if path.is_file() and "node_modules" not in path.parts and path.name not in {"build", "package.json"}
    }
    assert recorded == present, "run ./dev assets and commit regiond/ui/static"
    for name in present:
        if name.startswith("scripts/"):
            assert (STATIC / name).read_bytes() == (ASSETS / name).read_bytes()


def test_the_style_sheet_loads_nothing_from_elsewhere() -> None:
    css = (STATIC / "app.css").read_text()
    assert re.findall(r"url\(['\"]?(?:https?:)?//", css) == []
    assert "@import" not in css


def test_libraries_and_fonts_have_their_licences() -> None:
    assert {path.stem for path in (STATIC / "licences").iterdir()} == {"htmx", "inter", "vanilla-framework"}


def test_scripts_and_styles_are_in_their_budgets() -> None:
    ours = sum(path.stat().st_size for path in (ASSETS / "scripts").glob("*.js"))
    assert ours <= 15_000
    assert (STATIC / "scripts/htmx.min.js").stat().st_size <= 60_000
    assert (STATIC / "app.css").stat().st_size <= 350_000


def test_templates_need_no_exception_from_the_content_security_policy() -> None:
    forbidden = re.compile(
        r"style=\"|hx-on|hx-vars|hx-vals='js:|hx-trigger=\"[^\"]*\[|<script>|javascript:|\|\s*safe\b"
    )
    found = [
        f"{path.relative_to(TEMPLATES)}: {match[0]}"
        for path in TEMPLATES.rglob("*.html")
        for match in forbidden.finditer(path.read_text())
    ]
    assert found == []
