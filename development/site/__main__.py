"""Writes what MkDocs and go-md2man read to a folder: `site/`, `mkdocs.yml` and `man/NAME.SECTION.md`.

python -m development.site FOLDER
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import UTC, date, datetime
from pathlib import Path

from common.release import running_release
from development.generated.generated_section import CHECKOUT
from development.site.manual import manual
from development.site.navigation import navigation
from development.site.pages import all_pages
from development.site.sources import Checkout


def write(folder: Path) -> None:
    """Replaces the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    checkout = Checkout(CHECKOUT)
    pages = all_pages(checkout)
    for path, text in pages.items():
        _file(folder / "site" / path).write_text(text, "utf-8")
    for path, source in checkout.files():
        shutil.copyfile(source, _file(folder / "site" / path))
    for page in manual():
        _file(folder / "man" / f"{page.file}.md").write_text(page.for_man(running_release(), _day()), "utf-8")
    configuration = {
        "INHERIT": os.path.relpath(CHECKOUT / "development/site/mkdocs.yml", folder),
        "site_name": f"Innkeeper {running_release()}",
        "docs_dir": "site",
        "nav": navigation(pages["index.md"], pages),
    }
    (folder / "mkdocs.yml").write_text(json.dumps(configuration, indent=1), "utf-8")


def _day() -> date:
    """Returns the day of the build; a reproducible build sets it by SOURCE_DATE_EPOCH, seconds since 1970."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    return (datetime.fromtimestamp(int(seconds), UTC) if seconds else datetime.now(UTC)).date()


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    chosen = Path(sys.argv[1]).resolve()
    if chosen.exists() and not (chosen / "mkdocs.yml").exists():
        raise SystemExit(f"{chosen} exists and is not a folder that this command wrote. Nothing was changed.")
    write(chosen)
