"""What was typed after `innkeeper PROFILE`, as a call of the API or as the reason why it is none. No I/O.

Names in the URL come first, by position; fields are `key=value`, repeated for lists; `key@=file` takes the value from a
file. Options may stand anywhere; `--` ends them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from attrs import evolve, field, frozen

from innkeeper.describe import Action, Description, Resource, similar

_FIELD = re.compile(r"(?P<name>[A-Za-z_][\w.\-]*)(?P<file>@?)=(?P<value>.*)", re.DOTALL)
_OPTIONS = ["--json", "--table", "--wait", "--no-wait", "--help", "--version", "--yes", "--profile", "--to"]
QUERY_METHODS = ("GET", "DELETE")


class Usage(Exception):
    """What was typed means nothing; the message says what was expected."""


@frozen(kw_only=True)
class Given:
    """A field as typed; with `from_file`, `value` is the path of the file that holds the value."""

    name: str
    value: str
    from_file: bool = False


@frozen(kw_only=True)
class Options:
    """`None` leaves the choice to what the program writes to, or to the server."""

    table: bool | None = None
    wait: bool | None = None
    help: bool = False
    version: bool = False
    profile: str | None = None
    to: str | None = None
    yes: bool = False


@frozen(kw_only=True)
class Call:
    """One request: `path` is relative to the API's base, names already percent-encoded."""

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
    def doubts(self) -> tuple[str, ...]:
        """Sentences about fields that look like misspelt ones. The server passes over fields that it does not know."""
        known = self.action.fields
        unknown = dict.fromkeys(given.name for given in self.fields if known and given.name not in known)
        meant = ((name, similar_field(name, known)) for name in unknown)
        return tuple(f"'{name}' is not a documented field; did you mean '{near}'?" for name, near in meant if near)


def split_options(words: Sequence[str]) -> tuple[list[str], Options]:
    """The words that are no options, in order, and the options. Raises Usage for an unknown or unfinished option."""
    plain: list[str] = []
    options = Options()
    rest = list(words)
    if not all(word.isprintable() or word.encode("utf-8", "ignore").decode() == word for word in words):
        raise Usage("What was typed is not valid UTF-8.")
    while rest:
        word = rest.pop(0)
        if word == "--":
            return plain + rest, options
        if not word.startswith("-") or word == "-":
            plain.append(word)
            continue
        options = _with_option(options, word, rest)
    return plain, options


def parse_call(description: Description, words: Sequence[str]) -> Call:
    """The call that `RESOURCE ACTION [NAME…] [key=value…]` stands for. Raises Usage."""
    resource = find_resource(description, words[0] if words else "")
    action = find_action(resource, words[1] if len(words) > 1 else "")
    names, fields = _sort_words(words[2:], len(resource.params))
    usage = f"usage: {usage_of(resource, action)}"
    if len(names) < len(resource.params):
        raise Usage(f"{resource.params[len(names)].upper()} is missing.\n{usage}")
    if any(not name for name in names):
        raise Usage(f"An empty name names nothing.\n{usage}")
    path = resource.path.format(**{k: quote(v, safe="") for k, v in zip(resource.params, names, strict=True)})
    return Call(resource=resource, action=action, path=path, fields=tuple(fields))


def split_fields(words: Sequence[str]) -> tuple[list[str], list[Given]]:
    """The words that are no fields, in order, and the fields."""
    return _sort_words(words, len(words))


def find_resource(description: Description, word: str) -> Resource:
    """Raises Usage that names what is similar."""
    found = description.resources.get(word)
    if found is None:
        raise Usage(_unknown("resource", word, description.resources))
    return found


def find_action(resource: Resource, word: str) -> Action:
    """Raises Usage that names what is similar; `add_tag` is taken for `add-tag`."""
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
        case "--yes":
            return evolve(options, yes=True)
    name, equals, value = word.partition("=")
    if name not in ("--profile", "--to"):
        near = similar(word, _OPTIONS)
        raise Usage(f"There is no option {word}." + (f" Did you mean {near[0]}?" if near else ""))
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
            raise Usage(f"'{word}' was not expected here: fields are written key=value.")
    return names, fields


def _unknown(what: str, word: str, known: Iterable[str]) -> str:
    choices = sorted(known)
    if not word:
        return f"Name a{'n' if what[0] in 'aeiou' else ''} {what}: {', '.join(choices)}."
    near = similar(word, choices)
    if near:
        return f"There is no {what} '{word}'. Did you mean {' or '.join(near)}?"
    return f"There is no {what} '{word}'. There are: {', '.join(choices)}."
