"""Parses the command line: words to an API call, fields and options. No I/O.

Path parameters are positional; fields are `key=value`, repeated for lists; `key@=file` reads the value from a file.
Options are accepted at any position; `--` ends them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from attrs import evolve, field, frozen

from innkeeper.api_description import Action, Description, Resource, similar

_FIELD = re.compile(r"(?P<name>[A-Za-z_][\w.\-]*)(?P<file>@?)=(?P<value>.*)", re.DOTALL)
_OPTIONS = [
    "--json",
    "--table",
    "--wait",
    "--no-wait",
    "--help",
    "--version",
    "--yes",
    "--dry-run",
    "--profile",
    "--to",
]
QUERY_METHODS = ("GET", "DELETE")


class Usage(Exception):
    """The command line is invalid; the message names what is expected."""


@frozen(kw_only=True)
class Given:
    """A field as typed. With `from_file`, `value` is the path of a file that contains the value."""

    name: str
    value: str
    from_file: bool = False


@frozen(kw_only=True)
class Options:
    """The options. For `table` and `wait`, None means the default."""

    table: bool | None = None
    wait: bool | None = None
    help: bool = False
    version: bool = False
    profile: str | None = None
    to: str | None = None
    yes: bool = False
    dry_run: bool = False


@frozen(kw_only=True)
class ApiCall:
    """A request. `path` is relative to the API's base; its parameters are percent-encoded."""

    resource: Resource
    action: Action
    path: str
    fields: tuple[Given, ...] = field(factory=tuple)

    @property
    def command(self) -> str:
        """Such as `vm-host compose`."""
        return f"{self.resource.command} {self.action.command}"

    @property
    def fields_in_query(self) -> bool:
        return self.action.method in QUERY_METHODS

    @property
    def has_plan(self) -> bool:
        """Whether it deletes something, and the region can list first what that is."""
        is_dry_run = any(given.name == "dry_run" for given in self.fields)
        return self.action.method == "DELETE" and "dry_run" in self.action.fields and not is_dry_run

    def as_dry_run(self) -> ApiCall:
        """Raises Usage if the action has no dry run."""
        if "dry_run" not in self.action.fields:
            raise Usage(f"{self.command} has no dry run.")
        others = tuple(given for given in self.fields if given.name != "dry_run")
        return evolve(self, fields=(*others, Given(name="dry_run", value="true")))


def split_options(words: Sequence[str]) -> tuple[list[str], Options]:
    """Splits the words into arguments, in order, and options. Raises Usage for an unknown option or missing value."""
    plain: list[str] = []
    options = Options()
    rest = list(words)
    if not all(word.isprintable() or word.encode("utf-8", "ignore").decode() == word for word in words):
        raise Usage("The command line is not valid UTF-8.")
    while rest:
        word = rest.pop(0)
        if word == "--":
            return plain + rest, options
        if not word.startswith("-") or word == "-":
            plain.append(word)
            continue
        options = _with_option(options, word, rest)
    return plain, options


def parse_call(description: Description, words: Sequence[str]) -> ApiCall:
    """Parses `RESOURCE ACTION [NAME…] [key=value…]`. Raises Usage, also for a field that the action does not know."""
    resource = find_resource(description, words[0] if words else "")
    action = find_action(resource, words[1] if len(words) > 1 else "")
    names, fields = _sort_words(words[2:], len(resource.params))
    usage = f"usage: {usage_of(resource, action)}"
    if len(names) < len(resource.params):
        raise Usage(f"{resource.params[len(names)].upper()} is missing.\n{usage}")
    if any(not name for name in names):
        raise Usage(f"A name must not be empty.\n{usage}")
    if not action.any_field:
        check_known(fields, action.fields, of=f"{resource.command} {action.command}", usage=usage)
    path = resource.path.format(**{k: quote(v, safe="") for k, v in zip(resource.params, names, strict=True)})
    return ApiCall(resource=resource, action=action, path=path, fields=tuple(fields))


def check_known(fields: Iterable[Given], known: Sequence[str], *, of: str, usage: str) -> None:
    """Raises Usage that names every field that is not `known`, with a similar one: the region might ignore it."""
    unknown = dict.fromkeys(given.name for given in fields if given.name not in known)
    if unknown:
        raise Usage("\n".join([*(_unknown_field(name, known, of) for name in unknown), usage]))


def _unknown_field(name: str, known: Sequence[str], of: str) -> str:
    near = similar_field(name, known)
    if near:
        return f"Unknown field '{name}' of {of}. Did you mean '{near}'?"
    return f"Unknown field '{name}' of {of}. " + (f"Known: {', '.join(known)}." if known else "It has no fields.")


def split_fields(words: Sequence[str]) -> tuple[list[str], list[Given]]:
    """Splits the words into names, in order, and fields."""
    return _sort_words(words, len(words))


def find_resource(description: Description, word: str) -> Resource:
    """Raises Usage with similar names."""
    found = description.resources.get(word)
    if found is None:
        raise Usage(_unknown("resource", word, description.resources))
    return found


def find_action(resource: Resource, word: str) -> Action:
    """Accepts `add_tag` for `add-tag`. Raises Usage with similar names."""
    found = resource.actions.get(word.replace("_", "-"))
    if found is None:
        raise Usage(_unknown(f"action of {resource.command}", word, resource.actions))
    return found


def usage_of(resource: Resource, action: Action) -> str:
    """`vm-host compose ID [key=value …]`."""
    parts = [resource.command, action.command, *(param.upper() for param in resource.params)]
    return " ".join([*parts, "[key=value …]"] if action.fields else parts)


def similar_field(name: str, known: Iterable[str]) -> str | None:
    found = similar(name.replace("_", "-"), [each.replace("_", "-") for each in known])
    return found[0].replace("-", "_") if found else None


def _with_option(options: Options, word: str, rest: list[str]) -> Options:
    match word:
        case "--json" | "--table":
            return evolve(options, table=word == "--table")
        case "--wait" | "--no-wait":
            return evolve(options, wait=word == "--wait")
        case "--help" | "-h":
            return evolve(options, help=True)
        case "--version":
            return evolve(options, version=True)
        case "--yes" | "--dry-run":
            return evolve(options, yes=options.yes or word == "--yes", dry_run=options.dry_run or word == "--dry-run")
    name, equals, value = word.partition("=")
    if name not in ("--profile", "--to"):
        near = similar(word, _OPTIONS)
        raise Usage(f"Unknown option {word}." + (f" Did you mean {near[0]}?" if near else ""))
    if not equals:
        if not rest:
            raise Usage(f"{name} needs a value.")
        value = rest.pop(0)
    return evolve(options, profile=value) if name == "--profile" else evolve(options, to=value)


def _sort_words(words: Sequence[str], wanted_names: int) -> tuple[list[str], list[Given]]:
    names: list[str] = []
    fields: list[Given] = []
    for word in words:
        match = _FIELD.fullmatch(word)
        if match:
            fields.append(Given(name=match["name"], value=match["value"], from_file=bool(match["file"])))
        elif len(names) < wanted_names:
            names.append(word)
        else:
            raise Usage(f"Unexpected argument '{word}'. Fields are key=value.")
    return names, fields


def _unknown(what: str, word: str, known: Iterable[str]) -> str:
    choices = sorted(known)
    if not word:
        return f"Missing {what}. One of: {', '.join(choices)}."
    near = similar(word, choices)
    if near:
        return f"Unknown {what} '{word}'. Did you mean {' or '.join(near)}?"
    return f"Unknown {what} '{word}'. One of: {', '.join(choices)}."
