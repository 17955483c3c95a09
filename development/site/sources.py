"""The pages of the site that are written by hand: docs/ and the pages at the top of the checkout."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from attrs import frozen

from development.site.markdown import for_site

# Names on the site: MkDocs takes a README.md for the first page of its folder.
PROJECT_PAGES = {
    "README.md": "introduction.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    "CHANGELOG.md": "changelog.md",
}
DECISIONS = "decisions/index.md"
_GENERATED = re.compile(r".*<!-- generated pages -->")  # the line of docs/index.md that the site replaces by their list


class BrokenLink(Exception):
    """A page links to a file that is not in the checkout."""


@frozen
class Checkout:
    """The files from which the site is made."""

    folder: Path

    def pages(self, generated: str) -> dict[str, str]:
        """Returns the text of each page by its path on the site; `generated` is a list of the generated pages.

        Raises BrokenLink if a page links to a file that does not exist. Anchors are for MkDocs to check.
        """
        found = {path: PurePosixPath(self._site_path(path) or path) for path in self._sources()}
        return {str(page): self._page(path, page, generated) for path, page in found.items()}

    def files(self) -> Iterable[tuple[str, Path]]:
        """Returns the other files of docs/, such as pictures, by their path on the site."""
        docs = self.folder / "docs"
        return [
            (each.relative_to(docs).as_posix(), each) for each in docs.rglob("*") if each.suffix in {".png", ".svg"}
        ]

    def decisions(self) -> Mapping[str, str]:
        """Returns the titles of the decisions by their path on the site, in the order of their numbers."""
        paths = sorted((self.folder / "docs/decisions").glob("*.md"))
        return {f"decisions/{each.name}": _title(each.read_text("utf-8")) for each in paths}

    def _sources(self) -> Iterable[str]:
        docs = sorted((self.folder / "docs").rglob("*.md"))
        return [*PROJECT_PAGES, *(each.relative_to(self.folder).as_posix() for each in docs)]

    def _page(self, path: str, page: PurePosixPath, generated: str) -> str:
        written = (self.folder / path).read_text("utf-8")
        text = _GENERATED.sub(lambda _: generated, written)
        return for_site(text, lambda target: self._target(target, source=path, page=page))

    def _target(self, target: str, *, source: str, page: PurePosixPath) -> str | None:
        """Returns the link as the page of the site needs it, None for a file that the site does not have."""
        path, separator, fragment = target.partition("#")
        if "://" in target or not path or (page.name == "index.md" and path.startswith("reference/generated/")):
            return target
        linked = os.path.normpath(PurePosixPath(source).parent / path)
        if not (self.folder / linked).exists():
            raise BrokenLink(f"{source} links to {target}, which does not exist.")
        on_site = self._site_path(linked)
        return None if on_site is None else f"{os.path.relpath(on_site, page.parent)}{separator}{fragment}"

    def _site_path(self, path: str) -> str | None:
        if path in PROJECT_PAGES:
            return PROJECT_PAGES[path]
        if path == "docs/decisions":
            return DECISIONS
        inside = path.startswith("docs/") and PurePosixPath(path).suffix in {".md", ".png", ".svg"}
        return path.removeprefix("docs/") if inside else None


def _title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")
