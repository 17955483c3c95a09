"""Parses the command line: words to an API call, fields and options. No I/O.

Path parameters are positional; fields are `key=value`, repeated for lists; `key@=file` reads the value from a file.
Options are accepted at any position; `--` ends them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from attrs import evolve, field, frozen

from common.errors import InvalidRequest
from innkeeper.api_description import Action, Description, Resource, similar
from innkeeper.quantities import converted
from innkeeper.view import OPTIONS as VIEW_OPTIONS
from innkeeper.view import View, with_view_option

MAX_KEY_CHARS = 255
MAX_KEY_OF_SEVERAL_CHARS = 190  # the region's limit, without a colon and a SHA-256 in hex
_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY_CHARS}}}")
_FIELD = re.compile(r"(?P<name>[A-Za-z_][\w.\-]*)(?P<file>@?)=(?P<value>.*)", re.DOTALL)
WITH_VALUE = (
    "--format",
    "--filter",
    "--idempotency-key",
    "--profile",
    "--to",
    "--username",
    "--ca-file",
    "--fingerprint",
    "--output",
)
OPTIONS = [
    "--json", "--table", "--wait", "--no-wait", "--help", "--version", "--yes", "--dry-run", *WITH_VALUE, *VIEW_OPTIONS,
]  # fmt: skip
_SAME = {"--cacerts": "--ca-file"}  # as MAAS names them
# Options that MAAS has, and what to use instead.
_OF_MAAS = {
    "-k": "A server's certificate is always verified: log in with --fingerprint SHA256 or --ca-file FILE.",
    "-d": "An error says its reason, and the region's log has each request; --json shows what the region answers.",
}
_OF_MAAS |= {"--insecure": _OF_MAAS["-k"], "--debug": _OF_MAAS["-d"]}
FORMATS = ("json", "table", "yaml")
QUERY_METHODS = ("GET", "DELETE")
_MAX_CHOICES = 20  # more are not listed in an error message


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
    yaml: bool = False
    wait: bool | None = None
    help: bool = False
    version: bool = False
    profile: str | None = None
    to: str | None = None
    username: str | None = None
    ca_file: str | None = None
    fingerprint: str | None = None
    output: str | None = None
    yes: bool = False
    dry_run: bool = False
    idempotency_key: str | None = None
    filters: tuple[str, ...] = ()
    view: View = field(factory=View)


@frozen(kw_only=True)
class ApiCall:
    """A request. `path` is relative to the API's base; its parameters are percent-encoded."""

    resource: Resource
    action: Action
    path: str
    fields: tuple[Given, ...] = field(factory=tuple)
    names: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """Such as `vm-host compose`."""
        return f"{self.resource.command} {self.action.command}"

    @property
    def fields_in_query(self) -> bool:
        return self.action.method in QUERY_METHODS

    @property
    def target(self) -> str:
        """The last name of the command line, such as a system id; empty if it has none."""
        return self.names[-1] if self.names else ""

    @property
    def is_destructive(self) -> bool:
        """Whether it deletes, releases or undoes something, and is no dry run."""
        return self.action.destructive and not self._is_dry_run

    @property
    def takes_key(self) -> bool:
        """Whether it changes something, at most once for an idempotency key."""
        return self.action.takes_key and not self._is_dry_run

    @property
    def _is_dry_run(self) -> bool:
        dry_runs = [given.value.strip().lower() for given in self.fields if given.name == "dry_run"]
        return dry_runs[-1:] in (["true"], ["1"], ["yes"], ["on"], ["t"], ["y"])

    def as_dry_run(self) -> ApiCall:
        """Raises Usage if the action has no dry run."""
        if not self.action.dry_run:
            raise Usage(f"{self.command} has no dry run.")
        others = tuple(given for given in self.fields if given.name != "dry_run")
        return evolve(self, fields=(*others, Given(name="dry_run", value="true")))

    def confirmed(self, fields: Iterable[str]) -> ApiCall:
        """The call with these fields, with which it says that a person has confirmed its effects."""
        names = tuple(fields)
        others = tuple(given for given in self.fields if given.name not in names)
        return evolve(self, fields=(*others, *(Given(name=name, value="true") for name in names)))


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
        options = _with_view(options, word, rest) or _with_option(options, word, rest)
    return plain, options


def parse_call(description: Description, words: Sequence[str]) -> ApiCall:
    """Parses `RESOURCE ACTION [NAME…] [key=value…]`. Raises Usage, also for a field that the action does not know."""
    resource = find_resource(description, words[0] if words else "")
    action = find_action(resource, words[1] if len(words) > 1 else "")
    names, fields = _sort_words(words[2:], len(resource.params))
    usage = f"usage: innkeeper {usage_of(resource, action)}"
    if len(names) < len(resource.params):
        raise Usage(f"{resource.params[len(names)].upper()} is missing.\n{usage}")
    if any(not name for name in names):
        raise Usage(f"A name must not be empty.\n{usage}")
    if not action.any_field:
        check_known(fields, action.fields, of=f"{resource.command} {action.command}", usage=usage)
    given = [one for given in fields for one in _in_format(action, given)]
    return call_of(resource, action, names, [*given, *_for_whom(action, given)])


def _for_whom(action: Action, given: Iterable[Given]) -> tuple[Given, ...]:
    """Returns the field with which a compose is for the user, unless the command says for whom, or that it is stock."""
    says_so = {"stock", "owner"} & {one.name for one in given}
    takes_it = action.op == "compose" and "stock" in action.fields
    return (Given(name="stock", value="false"),) if takes_it and not says_so else ()


def call_of(resource: Resource, action: Action, names: Sequence[str], fields: Iterable[Given] = ()) -> ApiCall:
    """`names` has a value for each parameter of the resource."""
    path = resource.path.format(**{k: quote(v, safe="") for k, v in zip(resource.params, names, strict=True)})
    return ApiCall(resource=resource, action=action, path=path, fields=tuple(fields), names=tuple(names))


def parse_calls(description: Description, words: Sequence[str]) -> tuple[ApiCall, ...]:
    """As `parse_call`, once for each of several values of the last parameter, such as `machine delete A B C`."""
    resource = find_resource(description, words[0] if words else "")
    action = find_action(resource, words[1] if len(words) > 1 else "")
    names, _ = split_fields(words[2:])
    if not resource.params or len(names) <= len(resource.params):
        return (parse_call(description, words),)
    several = dict.fromkeys(names[len(resource.params) - 1 :])
    for name in several:
        if name in action.fields:
            raise Usage(f"'{name}' is a field of {resource.command} {action.command}: {name}=VALUE")
    plain = [word for word in words[2:] if not _FIELD.fullmatch(word)][: len(resource.params) - 1]
    fields = [word for word in words[2:] if _FIELD.fullmatch(word)]
    return tuple(parse_call(description, [*words[:2], *plain, one, *fields]) for one in several)


def _in_format(action: Action, given: Given) -> list[Given]:
    """Raises Usage for a unit or range that the field does not take."""
    if given.from_file:
        return [given]
    try:
        values = converted(given.name, given.value, action.formats.get(given.name))
    except InvalidRequest as error:
        raise Usage(error.message) from error
    return [evolve(given, value=value) for value in values]


def check_known(fields: Iterable[Given], known: Sequence[str], *, of: str, usage: str) -> None:
    """Raises Usage that names every field that is not `known`, with a similar one: the region might ignore it."""
    unknown = dict.fromkeys(given.name for given in fields if given.name not in known)
    if unknown:
        raise Usage("\n".join([*(_unknown_field(name, known, of) for name in unknown), usage]))


def _unknown_field(name: str, known: Sequence[str], of: str) -> str:
    near = similar_field(name, known)
    if name.replace("-", "_") == "dry_run" and not near:
        return f"{of} has no dry run, so nothing was done."
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


def _with_view(options: Options, word: str, rest: list[str]) -> Options | None:
    """None if the word is another option."""
    try:
        view = with_view_option(options.view, word, rest)
    except ValueError as error:
        raise Usage(str(error)) from None
    return None if view is None else evolve(options, view=view)


def _with_option(options: Options, word: str, rest: list[str]) -> Options:
    match word:
        case "--json" | "--table":
            return evolve(options, table=word == "--table", yaml=False)
        case "--wait" | "--no-wait":
            return evolve(options, wait=word == "--wait")
        case "--help" | "-h":
            return evolve(options, help=True)
        case "--version":
            return evolve(options, version=True)
        case "--yes" | "--dry-run":
            return evolve(options, yes=options.yes or word == "--yes", dry_run=options.dry_run or word == "--dry-run")
    name, equals, value = word.partition("=")
    name = _SAME.get(name, name)
    if name in _OF_MAAS:
        raise Usage(f"There is no option {name}. {_OF_MAAS[name]}")
    if name not in WITH_VALUE:
        near = similar(word, OPTIONS)
        raise Usage(f"Unknown option {word}." + (f" Did you mean {near[0]}?" if near else ""))
    if not equals:
        if not rest:
            raise Usage(f"{name} needs a value.")
        value = rest.pop(0)
    return evolve(options, **_valued(options, name, value))


def _valued(options: Options, name: str, value: str) -> dict[str, Any]:
    """Returns the options that `name` sets to `value`. Raises Usage for an invalid value."""
    if name == "--filter":
        return {"filters": (*options.filters, value)}
    if name == "--idempotency-key" and not _KEY.fullmatch(value):
        raise Usage(f"{name} is a text of at most {MAX_KEY_CHARS} ASCII characters without blanks, such as a UUID.")
    if name != "--format":
        return {name[2:].replace("-", "_"): value}
    if value not in FORMATS:
        raise Usage(f"--format is {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, not {value!r}.")
    return {"table": value == "table", "yaml": value == "yaml"}


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
    if len(choices) > _MAX_CHOICES:
        return f"Unknown {what} '{word}'. innkeeper PROFILE --help lists them."
    return f"Unknown {what} '{word}'. One of: {', '.join(choices)}."
