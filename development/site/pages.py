"""All pages of the site: those written by hand, and those generated from the code."""

from __future__ import annotations

from common.release import running_release
from development.generated.module_tree import tree
from development.site import api_reference, command_reference, manual
from development.site.markdown import escaped
from development.site.navigation import MODULES, list_of_generated_pages
from development.site.sources import DECISIONS, Checkout
from innkeeper.api_description import read_description
from regiond.api.description.describe import describe
from regiond.api.description.openapi import openapi
from regiond.api.resources.registry import DESCRIBED, DOCUMENTED


def all_pages(checkout: Checkout) -> dict[str, str]:
    """Returns the Markdown of each page by its path on the site. Raises BrokenLink."""
    return {
        **checkout.pages(list_of_generated_pages()),
        DECISIONS: _decisions(checkout),
        **api_reference.pages(openapi(DOCUMENTED, version=running_release())),
        **command_reference.pages(read_description(describe(DESCRIBED, origin=""))),
        **manual.pages(),
        f"{MODULES}/index.md": f"# Modules\n\nThe first line of each module.\n\n```text\n{tree()}\n```\n",
    }


def _decisions(checkout: Checkout) -> str:
    lines = (f"- [{escaped(title)}]({page.removeprefix('decisions/')})" for page, title in checkout.decisions().items())
    return "\n".join(["# Decisions", "", "Choices that were hard or debatable, and their costs.", "", *lines, ""])
