"""Pages of the commands of `innkeeper`, made from the description that the region serves to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from textwrap import dedent

from development.site.markdown import anchor, escaped
from innkeeper.api_description import Action, Description, Resource
from innkeeper.arguments import usage_of

FOLDER = "reference/generated/commands"
_PARAM = re.compile(r":param\s+(?:[^:\s]+\s+)*?(?P<name>[^:\s]+)\s*:\s*(?P<text>.*)")


def pages(description: Description) -> dict[str, str]:
    """Returns the overview and a page for each resource, by their path on the site."""
    resources = sorted(description.offered, key=lambda one: one.command)
    written = {f"{FOLDER}/index.md": _overview(resources)}
    for resource in resources:
        written[f"{FOLDER}/{_page(resource)}"] = "\n".join(_resource(resource))
    return written


def _page(resource: Resource) -> str:
    return f"{resource.command}-commands.md"


def _overview(resources: Iterable[Resource]) -> str:
    lines = [
        "# Commands of innkeeper",
        "",
        "All commands `innkeeper RESOURCE ACTION`, from the description that this version of the region serves. "
        "[The innkeeper command](../../cli.md) explains profiles, arguments, output and waiting; "
        "[innkeeper(1)](../manual/innkeeper.1.md) has the options and the commands that need no region.",
        "",
        "| Resource | Actions |",
        "|---|---|",
    ]
    for resource in resources:
        actions = (f"[{each}]({_page(resource)}#{anchor(_heading(resource, each))})" for each in resource.actions)
        lines.append(f"| [{resource.command}]({_page(resource)}) | {', '.join(actions)} |")
    return "\n".join([*lines, ""])


def _heading(resource: Resource, action: str) -> str:
    return f"{resource.command} {action}"


def _resource(resource: Resource) -> Iterator[str]:
    yield from (f"# {resource.command}", "")
    if resource.summary:
        yield from (escaped(resource.summary), "")
    for action in resource.actions.values():
        yield from _action(resource, action)


def _action(resource: Resource, action: Action) -> Iterator[str]:
    yield from (f"## {_heading(resource, action.command)}", "")
    yield from ("```text", f"innkeeper {usage_of(resource, action)}", "```", "")
    for block in dedent(action.doc).strip().split("\n\n"):
        yield from _block(block)
    if action.destructive:
        yield from ("On a terminal it shows what it will delete, and asks; `--yes` does not ask.", "")
    if action.dry_run:
        yield from ("`--dry-run` shows what it would do.", "")


def _block(text: str) -> Iterator[str]:
    """Yields a paragraph, or the table of fields if the block documents them."""
    fields = [found for found in map(_PARAM.match, text.splitlines()) if found]
    if fields:
        yield from ("| Field | Meaning |", "|---|---|")
        yield from (f"| `{each['name']}` | {escaped(each['text'])} |" for each in fields)
    else:
        yield from (escaped(line) for line in text.splitlines())
    yield ""
