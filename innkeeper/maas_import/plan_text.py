"""The plan of an import from MAAS as lines for a terminal, and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STATES = ("new", "exists", "conflict", "left_out")
_WORDS = {"new": "new", "exists": "exists", "conflict": "conflict", "left_out": "left out"}
_MOST_NEW = 20  # lines of new objects of one kind; the file has all
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1c2530}"
    "table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}th,td{text-align:left;padding:.3rem .6rem;"
    "border-bottom:1px solid #d8dee6;vertical-align:top}th{background:#f3f5f8}code{font-size:.92em}"
    ".conflict td:nth-child(3){color:#a03000;font-weight:600}.left_out td:nth-child(3){color:#667}"
    ".new td:nth-child(3){color:#0a6b3d}"
)


def lines_of(plan: Mapping[str, Any]) -> Iterator[str]:
    """Counts by kind, then what needs a decision, what is left out, and the first new objects."""
    source = plan["source"]
    version = f", MAAS {source['version']}" if source.get("version") else ""
    yield f"Import {plan['import']} from {source['label']}{version}:"
    width = max(map(len, plan["objects"]))
    yield "  " + " " * width + "".join(f"{_WORDS[state]:>10}" for state in _STATES)
    for kind, counts in plan["counts"].items():
        yield f"  {kind:<{width}}" + "".join(f"{counts[state] or '-':>10}" for state in _STATES)
    conflicts = [(kind, one) for kind, one in _objects(plan) if one["state"] == "conflict"]
    if conflicts:
        yield ""
        yield "Choose with --choose, or in the file of the plan, what becomes of:"
        for kind, one in conflicts:
            choices = _choices(one)
            chosen = f" (chosen: {one['choice']})" if one["choice"] else ""
            yield f"  {kind}:{one['source_id']}  {one['name']}: {one['reason']} Choices: {choices}.{chosen}"
    left_out = [(kind, one) for kind, one in _objects(plan) if one["state"] == "left_out"]
    if left_out:
        yield ""
        yield "Left out:"
        for kind, one in left_out:
            yield f"  {kind}:{one['source_id']}  {one['name']}: {one['reason']}"
    yield from _new_lines(plan)


def _choices(one: Mapping[str, Any]) -> str:
    return ", ".join(f"{each}NAME" if each.endswith("=") else each for each in one["choices"])


def _new_lines(plan: Mapping[str, Any]) -> Iterator[str]:
    for kind, objects in plan["objects"].items():
        new = [one for one in objects if one["state"] == "new"]
        if not new:
            continue
        yield ""
        yield f"New {kind}:"
        for one in new[:_MOST_NEW]:
            notes = f" {' '.join(one['notes'])}" if one["notes"] else ""
            yield f"  {kind}:{one['source_id']}  {one['name']}: {one['becomes']}.{notes}"
        if len(new) > _MOST_NEW:
            yield f"  … and {len(new) - _MOST_NEW} more: --plan FILE has all."


def _objects(plan: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind, objects in plan["objects"].items():
        for one in objects:
            yield kind, one


def as_html(plan: Mapping[str, Any]) -> str:
    """Returns one page without scripts, which needs nothing from anywhere."""
    source = plan["source"]
    title = f"Import {plan['import']} from {source['label']}"
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>",
        f"<p>MAAS {escape(str(source.get('version') or '?'))}, {escape(str(source.get('name') or ''))} "
        f"{escape(str(source.get('uuid') or ''))}. Plan <code>{escape(plan['digest'][:12])}</code>.</p>",
        "<table><tr><th>Objects</th>" + "".join(f"<th>{_WORDS[one]}</th>" for one in _STATES) + "</tr>",
    ]
    for kind, counts in plan["counts"].items():
        parts.append(f"<tr><td>{escape(kind)}</td>" + "".join(f"<td>{counts[one]}</td>" for one in _STATES) + "</tr>")
    parts.append("</table>")
    for kind, objects in plan["objects"].items():
        if objects:
            parts.append(f"<h2>{escape(kind.capitalize())}</h2><table><tr><th>Id</th><th>Name</th><th>State</th>")
            parts.append("<th>Becomes</th><th>Why, and what differs</th><th>Choices</th></tr>")
            parts.extend(map(_row, objects))
            parts.append("</table>")
    return "\n".join([*parts, "</html>", ""])


def _row(one: Mapping[str, Any]) -> str:
    why = " ".join([one["reason"], *one["notes"]]).strip()
    choices = _choices(one) + (f" (chosen: {one['choice']})" if one["choice"] else "")
    cells = (one["source_id"], one["name"], _WORDS[one["state"]], one["becomes"], why, choices)
    return f'<tr class="{escape(one["state"])}">' + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"
