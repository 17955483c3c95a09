"""Renders responses as text: lists as tables, objects as names and values with their lists below."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from attrs import field, frozen

from innkeeper.output.cells import cell, title, whole
from innkeeper.output.column_choice import found_column, rows_in, selected, sorted_rows
from innkeeper.output.columns import Column, column
from innkeeper.output.keys import KEYS
from innkeeper.output.layout import Cells, grid, pairs
from innkeeper.output.list_columns import LISTS
from innkeeper.output.object_lines import OBJECTS, PLACEMENT, USAGE, Section, Shape
from innkeeper.output.special_tables import (
    CAPACITY_NOTE,
    NUMA_NOTE,
    capacity_rows,
    in_usual_units,
    numa_rows,
    with_unit,
)
from innkeeper.view import View

_SINGULARS = {"discrepancy": "discrepancies", "pod": "vm-hosts", "pods": "vm-hosts", "nodes": "machines"}
# By command: the kind of its rows, what makes them of the response, and the note below.
_SPECIAL: Mapping[str, tuple[str, Callable[[Any], Sequence[Any]], str]] = {
    "vm-host numa": ("numa", numa_rows, NUMA_NOTE),
    "pod numa": ("numa", numa_rows, NUMA_NOTE),
    "vm-hosts capacity": ("capacities", capacity_rows, CAPACITY_NOTE),
    "pods capacity": ("capacities", capacity_rows, CAPACITY_NOTE),
}
_WORDS = {"vm-hosts": "VM hosts", "pods": "VM hosts", "vm-clusters": "VM clusters", "vlans": "VLANs",
          "virtual-machines": "virtual machines", "ipranges": "IP ranges", "rpc-clients": "RPC clients"}  # fmt: skip
_OF_ONE = ("read", "update")  # `subnet read` is a subnet, other actions of `subnet` list its addresses
_DEFAULT_COLUMNS = 8
_DEFAULT_WIDTH = 80
DEFAULT_VIEW = View()


@frozen(kw_only=True)
class Rendered:
    """Lines for standard output. `notes` say what they lack, such as `dropped` columns, and how to see it.

    `shortened` has the meaning of each heading in short form, which the notes say as well.
    """

    lines: list[str]
    notes: list[str] = field(factory=list)
    dropped: list[str] = field(factory=list)
    shortened: dict[str, str] = field(factory=dict)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@frozen(kw_only=True)
class Paper:
    """The width and boldness of text. A `width` of None has no limit."""

    width: int | None = None
    bold: bool = False


def paper_of(stream: TextIO) -> Paper:
    """As wide as the stream's terminal; without limit if it is not a terminal."""
    if not stream.isatty():
        return Paper()
    try:
        width = int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(stream.fileno()).columns
    except (ValueError, OSError):
        width = 0
    return Paper(width=width or _DEFAULT_WIDTH, bold=True)


def rendered(plain: Any, resource: str, paper: Paper = Paper(), view: View = DEFAULT_VIEW) -> Rendered:
    """Renders a response; `resource` is the command, such as `vm-hosts read`. Raises Usage for an unknown column."""
    if plain in ([], {}):
        return Rendered(lines=[_nothing(resource)])
    if resource in _SPECIAL:
        kind, rows_of, note = _SPECIAL[resource]
        table = _table(rows_of(plain), kind, paper, view)
        return Rendered(lines=[*table.lines, "", *note.splitlines()], notes=table.notes)
    if isinstance(plain, dict) and isinstance(plain.get("explanation"), dict):  # an operation or a dry run
        own = {key: value for key, value in plain.items() if key != "explanation"}
        plain = {**own, **plain["explanation"]}
    kind = kind_of(resource)
    plain = in_usual_units(plain, kind)
    rows = rows_in(plain, kind)
    if rows == []:
        return Rendered(lines=[_nothing(resource)])
    if rows is not None:
        return _table(rows, kind, paper, view)
    return _object(plain, kind, paper, view) if isinstance(plain, dict) else Rendered(lines=[cell(plain)])


def _nothing(resource: str) -> str:
    """Names what an empty list lists, where that is what its command is called: `No machines.`"""
    noun, _, action = resource.partition(" ")
    listed = _WORDS.get(noun, noun.replace("-", " ")) if action in ("", "read", "query") else ""
    return f"No {listed}." if listed.endswith("s") else "None."


def json_text(plain: Any, resource: str, view: View = DEFAULT_VIEW, *, as_yaml: bool = False) -> str:
    """JSON, or YAML, as the region sent it, or what the view selects of it. Raises Usage for an unknown column."""
    kind = kind_of(resource)
    chosen = plain if view.is_default else selected(plain, LISTS.get(kind, ()), kind, view)
    if as_yaml:
        from innkeeper.output.yaml_text import yaml_text  # noqa: PLC0415  # loads PyYAML, which nothing else needs

        return yaml_text(chosen)
    return json.dumps(chosen, indent=4, ensure_ascii=False)


def kind_of(resource: str) -> str:
    """The key of `LISTS` and `OBJECTS` for a command: `vm-hosts` for `vm-host read`, but `machines detached`."""
    noun, _, action = resource.partition(" ")
    noun = _SINGULARS.get(noun, noun)
    for whole_command in (resource, f"{noun} {action}", resource.replace("pod ", "vm-host ", 1)):
        if whole_command in LISTS:
            return whole_command
    return f"{noun}s" if f"{noun}s" in LISTS and (noun not in LISTS or action in _OF_ONE) else noun


def _table(rows: Sequence[Any], kind: str, paper: Paper, view: View) -> Rendered:
    """One line for each object, without columns that say nothing."""
    if not all(isinstance(row, dict) for row in rows):
        return Rendered(lines=[cell(row) for row in rows])
    known = LISTS.get(kind) or first_columns(rows)
    if view.sort:
        rows = sorted_rows(rows, view.sort, known, kind)
    chosen = [found_column(word, known, rows, kind) for word in view.columns] or shown_columns(
        rows, kind, everything=view.all
    )
    cells = [_cells(one, rows, chosen=bool(view.columns)) for one in chosen]
    several = sum(one.prose for one in known) > 1
    found = grid(cells, None if view.all else paper.width, bold=paper.bold, prose_named=several)
    notes = _notes(found.shortened, found.dropped)
    return Rendered(lines=found.lines, notes=notes, dropped=found.dropped, shortened=found.shortened)


def _notes(shortened: Mapping[str, str], dropped: Sequence[str]) -> list[str]:
    """Returns the meanings of short headings, and how to see the columns that were dropped."""
    meanings = ", ".join(f"{short} = {full}" for short, full in shortened.items())
    return [*([f"{meanings}."] if meanings else []), *_dropped(dropped)]


def _dropped(headings: Sequence[str]) -> list[str]:
    if not headings:
        return []
    return [
        f"Not shown, since the terminal is too narrow: {', '.join(headings)}. --all or --json shows them, "
        "--columns name,… what you choose."
    ]


def shown_columns(rows: Sequence[Mapping[str, Any]], kind: str, *, everything: bool = False) -> list[Column]:
    """Returns the columns of the kind that say something, else the first keys; with `everything` also the rest."""
    chosen = [one for one in LISTS.get(kind, ()) if one.is_shown(rows)]
    if everything:
        named = {one.key.partition(".")[0] for one in chosen}
        return [*chosen, *(column(key) for key in rows[0] if key not in named)]
    return chosen or [one for one in first_columns(rows) if one == column(one.key) or one.is_shown(rows)]


def first_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Returns the first keys with simple values, prose last: the columns of a list that has no entry in LISTS."""
    simple = [key for key, value in rows[0].items() if not isinstance(value, dict | list) and key != "resource_uri"]
    known = {key: KEYS.get(key) or column(key) for key in (simple or list(rows[0]))[:_DEFAULT_COLUMNS]}
    found = [column(key, prose=one.prose, usual=one.usual) for key, one in known.items()]
    return sorted(found, key=lambda one: one.prose)


def _cells(one: Column, rows: Sequence[Mapping[str, Any]], *, chosen: bool) -> Cells:
    values, texts = [one.value(row) for row in rows], [one.text(row) for row in rows]
    return Cells(
        heading=one.heading,
        short=one.short,
        texts=texts,
        short_texts=[text.removeprefix(one.short_without) for text in texts],
        is_right=one.is_right or all(type(value) in (int, float, type(None)) for value in values),
        rank=0 if chosen else one.rank,
        prose=one.prose,
    )


def _object(plain: Mapping[str, Any], kind: str, paper: Paper, view: View) -> Rendered:
    """The lines and lists of the shape; with `--all`, or without a shape, every key."""
    if view.columns:
        shape = OBJECTS.get(kind)
        known = (*(shape.lines if shape else ()), *LISTS.get(kind, ()))
        lines = [found_column(word, known, [plain], kind) for word in view.columns]
        return Rendered(lines=pairs([(one.title, one.line(plain)) for one in lines], bold=paper.bold))
    shape = next(
        (one for one in (OBJECTS.get(kind), PLACEMENT, USAGE) if one and all(key in plain for key in one.needs)), None
    )
    if view.all or shape is None:
        return _whole_object(plain, paper, view)
    return _short_object(plain, shape, paper, view)


def _short_object(plain: Mapping[str, Any], shape: Shape, paper: Paper, view: View) -> Rendered:
    named = [(one.title, one.line(plain)) for one in shape.lines if one.is_shown([plain])]
    named = named or [(shape.lines[0].title, "none")]  # a placement that fits nowhere
    sections = [each for each in shape.sections if _is_objects(plain.get(each.key))]
    sections = [each for each in sections if not each.only_with or plain.get(each.only_with)]
    found = _with_tables(pairs(named, bold=paper.bold), [(each, plain[each.key]) for each in sections], paper, view)
    covered = {one.key.partition(".")[0] for one in shape.lines} | {each.key for each in shape.sections}
    others = sum(1 for key, value in plain.items() if key not in covered and value not in (None, "", [], {}))
    return Rendered(lines=found.lines, notes=[*found.notes, *([f"--all shows {others} more."] if others else [])])


def _whole_object(plain: Mapping[str, Any], paper: Paper, view: View) -> Rendered:
    """The name and value of each key, followed by one table per list of objects."""
    lists = [(Section(key), value) for key, value in plain.items() if _is_objects(value)]
    keys = {section.key for section, _ in lists}
    named = [(title(key), _value(key, value)) for key, value in plain.items() if key not in keys]
    return _with_tables(pairs(named, bold=paper.bold), lists, paper, view)


def _value(key: str, value: Any) -> str:
    return with_unit(key, value) or (whole(value) if isinstance(value, str) and value else cell(value))


def _with_tables(
    lines: list[str], lists: Sequence[tuple[Section, Sequence[Any]]], paper: Paper, view: View
) -> Rendered:
    dropped: list[str] = []
    shortened: dict[str, str] = {}
    for section, rows in lists:
        table = _table(rows[-section.last :] if section.last else rows, section.key, paper, View(all=view.all))
        lines += ["", section.heading, *table.lines]
        dropped += [heading for heading in table.dropped if heading not in dropped]
        shortened |= table.shortened
    return Rendered(lines=lines, notes=_notes(shortened, dropped))


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)
