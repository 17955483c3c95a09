"""Computes what can follow on a command line, from the profiles and their API descriptions. No I/O.

Objects of the region are named as `ObjectQuery`, which `completion_objects` answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from shlex import quote

from attrs import evolve, field, frozen

from innkeeper.api_description import Action, Description, Resource
from innkeeper.arguments import FORMATS, OPTIONS, WITH_VALUE, call_of, split_fields
from innkeeper.commands.filters import list_of

SHELLS = ("bash", "fish", "zsh")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "login": (),
    "logout": (),
    "list": (),
    "profiles": ("default",),
    "refresh": (),
    "rack": ("token", "join"),
    "client": ("issue",),
    "region": (
        "check",
        "repaired",
        "approve",
        "audit",
        "init",
        "migrate",
        "admin",
        "backup",
        "verify-backup",
        "restore",
        "recovered",
        "upgrade-check",
    ),
    "completion": SHELLS,
    "help": (),
}
_OPTIONS_WITH_VALUE = (*WITH_VALUE, "--columns", "--sort")
_LISTS = {  # the list that has the values of a field or parameter
    "zone": "zones", "pool": "resource-pools", "host": "vm-hosts", "pod": "vm-hosts", "cluster": "vm-clusters",
    "machine": "machines", "system_id": "machines", "subnet": "subnets", "fabric": "fabrics", "space": "spaces",
}  # fmt: skip
_BY_ID = {"kept_disk": "kept-disks"}  # the list of a field whose values are ids, since its objects have no names


@frozen(kw_only=True)
class Candidate:
    """A word that can stand at the cursor. `about` is shown beside it by shells that can."""

    word: str
    about: str = ""


@frozen(kw_only=True)
class ObjectQuery:
    """The region's objects listed at `path`; `key` is the parameter that names one, `prefix` stands before each.

    Without `by_name`, a command takes their ids only.
    """

    path: str
    key: str
    prefix: str = ""
    by_name: bool = True


@frozen(kw_only=True)
class Completion:
    """`objects` and `files_prefix` name candidates that the caller finds: objects of the region, paths of files."""

    candidates: tuple[Candidate, ...] = ()
    objects: ObjectQuery | None = None
    files_prefix: str | None = None
    profile: str | None = None
    without: tuple[str, ...] = ()  # words that are there already


@frozen(kw_only=True)
class Known:
    """The profiles: their names, the default, and the description of one."""

    profiles: tuple[str, ...] = ()
    default: str | None = None
    description: Callable[[str], Description | None] = field(default=lambda _: None)


def complete(words: Sequence[str], known: Known) -> Completion:
    """Returns what can replace the last of `words`, which may be empty. `words` lack the program's name."""
    *before, current = words or [""]
    option = before[-1] if before else ""
    if option in _OPTIONS_WITH_VALUE:
        plain, profile = _without_options(before[:-1])
        return _option_value(option, current, plain, profile, known)
    plain, profile = _without_options(before)
    if current.startswith("-"):
        name, equals, value = current.partition("=")
        if equals:
            found = _option_value(name, value, plain, profile, known)
            return _prefixed(found, f"{name}=")
        return Completion(candidates=_words(OPTIONS))
    return _argument(plain, current, profile, known)


def matching(candidates: Iterable[Candidate], current: str) -> list[Candidate]:
    """The candidates that continue `current`, without repeats and without those that a shell would have to quote."""
    fitting = {one.word: one for one in candidates if one.word.startswith(current) and quote(one.word) == one.word}
    return list(fitting.values())


def _argument(plain: Sequence[str], current: str, profile: str | None, known: Known) -> Completion:
    if plain and plain[0] in known.profiles:
        profile, plain = plain[0], plain[1:]
        named = True
    else:
        named, profile = False, profile or known.default
    description = known.description(profile) if profile else None
    resources = description.resources if description else {}
    if not plain:
        first = () if named else (*_words(COMMANDS), *(Candidate(word=one, about="profile") for one in known.profiles))
        return Completion(candidates=(*first, *_about(description.offered if description else ())))
    if len(plain) == 1:
        actions = resources[plain[0]].actions.values() if plain[0] in resources else ()
        local = () if named else _second_word(plain[0], known)
        return Completion(candidates=(*local, *_about(actions)))
    action = resources[plain[0]].actions.get(plain[1].replace("_", "-")) if plain[0] in resources else None
    if description is None or action is None:
        return _later_word(plain, current, known)
    found = _of_action(description, resources[plain[0]], action, plain[2:], current)
    return evolve(found, profile=profile, without=tuple(plain[2:]))


def _second_word(command: str, known: Known) -> tuple[Candidate, ...]:
    if command in ("logout", "refresh"):
        return _words(known.profiles)
    return _words(COMMANDS.get(command, ()))


def _later_word(plain: Sequence[str], current: str, known: Known) -> Completion:
    if list(plain) == ["profiles", "default"]:
        return Completion(candidates=_words(known.profiles))
    if plain[0] == "login" and len(plain) == 3 and current.startswith("@"):
        return Completion(files_prefix="@")
    return Completion()


def _of_action(
    description: Description, resource: Resource, action: Action, given: Sequence[str], current: str
) -> Completion:
    """A value of a field, a name of an object, or fields."""
    name, equals, _ = current.partition("=")
    if equals:
        return _field_value(description, resource, action, name, split_fields(given)[0])
    names, fields = split_fields(given)
    several = len(names) >= len(resource.params)
    objects = _objects(description, resource, names)
    if not several:
        return Completion(objects=objects)
    used = {one.name for one in fields}
    unused = [Candidate(word=f"{one}=") for one in action.fields if one not in used]
    return Completion(candidates=tuple(unused), objects=objects if resource.params and not fields else None)


def _field_value(
    description: Description, resource: Resource, action: Action, name: str, names: Sequence[str] = ()
) -> Completion:
    """`names` are those of the objects before the fields."""
    if name.endswith("@"):
        return Completion(files_prefix=f"{name}=")
    prefix = f"{name}="
    choices = action.choices.get(name, ())
    if choices:
        return Completion(candidates=tuple(Candidate(word=prefix + one) for one in choices))
    if name == "disk" and names:
        return _disks_of(description, names[0], prefix)
    if name in _BY_ID and _BY_ID[name] in description.resources:
        kept = description.resources[_BY_ID[name]].path
        return Completion(objects=ObjectQuery(path=kept, key="id", prefix=prefix, by_name=False))
    wanted = f"{resource.command}s" if name == "move_to" else _LISTS.get(name.removeprefix("not_"), "")
    listed = description.resources.get(wanted)
    if listed is None or listed.params:
        return Completion()
    return Completion(objects=ObjectQuery(path=listed.path, key="name", prefix=prefix))


def _disks_of(description: Description, machine: str, prefix: str) -> Completion:
    listed = description.resources.get("block-devices")
    if listed is None:
        return Completion()
    path = call_of(listed, listed.actions["read"], [machine]).path
    return Completion(objects=ObjectQuery(path=path, key="id", prefix=prefix))


def _objects(description: Description, resource: Resource, names: Sequence[str]) -> ObjectQuery | None:
    """The objects that the next parameter can name; the last parameter can be repeated."""
    if not resource.params:
        return None
    index = min(len(names), len(resource.params) - 1)
    param = resource.params[index]
    upto = resource.path.partition(f"{{{param}}}")[0] + f"{{{param}}}"
    for other in (resource, *description.resources.values()):
        if other.path.rstrip("/") != upto:
            continue
        listed = list_of(description, other)
        if listed is not None:
            path = call_of(listed, listed.actions["read"], names[:index]).path
            return ObjectQuery(path=path, key=other.params[-1], by_name=listed.command not in _BY_ID.values())
    listed = description.resources.get(_LISTS.get(param.removesuffix("_id"), _LISTS.get(param, "")))
    key = "id" if param.removesuffix("_id") in _LISTS else param
    return None if listed is None or listed.params else ObjectQuery(path=listed.path, key=key)


def _option_value(option: str, current: str, plain: Sequence[str], profile: str | None, known: Known) -> Completion:
    match option:
        case "--profile":
            return Completion(candidates=_words(known.profiles))
        case "--format":
            return Completion(candidates=_words(FORMATS))
        case "--to":
            return Completion(files_prefix="")
        case "--filter":
            return _filter_value(current, plain, profile, known)
    return Completion()


def _filter_value(current: str, plain: Sequence[str], profile: str | None, known: Known) -> Completion:
    if plain and plain[0] in known.profiles:
        profile, plain = plain[0], plain[1:]
    profile = profile or known.default
    description = known.description(profile) if profile else None
    resource = description.resources.get(plain[0]) if description and plain else None
    if description is None or resource is None:
        return Completion()
    action = (list_of(description, resource) or resource).actions.get("read")
    if action is None:
        return Completion()
    name, equals, _ = current.partition("=")
    if not equals:
        return Completion(candidates=tuple(Candidate(word=f"{one}=") for one in action.fields))
    return evolve(_field_value(description, resource, action, name), profile=profile)


def _prefixed(found: Completion, prefix: str) -> Completion:
    objects = found.objects
    return evolve(
        found,
        candidates=tuple(evolve(one, word=prefix + one.word) for one in found.candidates),
        objects=None if objects is None else evolve(objects, prefix=prefix + objects.prefix),
        files_prefix=None if found.files_prefix is None else prefix + found.files_prefix,
    )


def _without_options(words: Sequence[str]) -> tuple[list[str], str | None]:
    """Returns the words without options and their values, and the value of `--profile`."""
    plain: list[str] = []
    profile = None
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            plain.append(word)
            continue
        name, equals, value = word.partition("=")
        if name in _OPTIONS_WITH_VALUE and not equals:
            value = rest.pop(0) if rest else ""
        profile = value if name == "--profile" else profile
    return plain, profile


def _words(words: Iterable[str]) -> tuple[Candidate, ...]:
    return tuple(Candidate(word=one) for one in words)


def _about(known: Iterable[Resource | Action]) -> tuple[Candidate, ...]:
    return tuple(Candidate(word=one.command, about=one.summary) for one in known)
