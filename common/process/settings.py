"""Loads a daemon's settings from defaults, a TOML file and `INNKEEPER_<KEY>` variables.

A daemon declares its settings as an attrs class. The field's type and `setting(...)` define the valid values:

    @frozen(kw_only=True)
    class RackSettings:
        log_level: str = setting("info", "How much is logged.", choices=("debug", "info"))

    settings = load(RackSettings, file=None, environment=os.environ)

One BadSettings reports all problems: a daemon never starts with an unknown key or an invalid value.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from attrs import Attribute, field, fields, frozen

from common.errors import BadSettings

T = TypeVar("T")

PREFIX = "INNKEEPER_"

_WITHOUT_SETTING = frozenset({"config", "test_database"})  # of the daemons' command line, and of the tests

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


@frozen(kw_only=True)
class _Declared:
    doc: str
    at_least: float | None
    at_most: float | None
    choices: tuple[str, ...]
    secret: bool
    reload: bool


def setting(
    default: Any,
    doc: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: Iterable[str] = (),
    secret: bool = False,
    reload: bool = False,
) -> Any:
    """Declares one setting of type str, int, float, bool, Path or `tuple[str, ...]`.

    With `| None`, an empty text means None. A list is an array in TOML; in the environment its items are separated by
    commas. Errors never contain the value of a `secret`. With `reload`, a running daemon applies a change.
    """
    declared = _Declared(
        doc=doc, at_least=at_least, at_most=at_most, choices=tuple(choices), secret=secret, reload=reload
    )
    return field(default=default, repr=not secret, metadata={"setting": declared})


def load(kind: type[T], *, file: Path | None, environment: Mapping[str, str]) -> T:
    """Returns the settings. Raises BadSettings with every invalid key, its source and the valid values."""
    found, wrong = load_known(kind, file=file, environment=environment)
    if wrong:
        raise BadSettings(" ".join(wrong))
    return found


def load_known(kind: type[T], *, file: Path | None, environment: Mapping[str, str]) -> tuple[T, tuple[str, ...]]:
    """Returns the settings without the invalid keys, and what is wrong with those.

    Raises BadSettings for a file that cannot be read or is not TOML.
    """
    keys = _keys(kind)
    wrong: list[str] = []
    values: dict[str, Any] = {}
    for source, given in (_from_file(file, keys, wrong), _from_environment(environment, keys, wrong)):
        for name, raw in given.items():
            try:
                values[name] = keys[name].read(raw)
            except ValueError as error:
                wrong.append(f"{source}: {_shown(source, name)} {error}.")
    return kind(**values), tuple(wrong)


def config_file(named: Path | None, environment: Mapping[str, str], usual: Path) -> Path | None:
    """Returns the file to read. A named one (argument or INNKEEPER_CONFIG) must exist; `usual` may be missing."""
    if named is None and environment.get(f"{PREFIX}CONFIG"):
        return Path(environment[f"{PREFIX}CONFIG"])
    return named or (usual if usual.exists() else None)


def described(kind: type[Any]) -> dict[str, str]:
    """Returns the description of each key."""
    return {name: key.declared.doc for name, key in _keys(kind).items()}


def reloadable(kind: type[Any]) -> frozenset[str]:
    """Returns the names of the settings that a running daemon can change."""
    return frozenset(name for name, key in _keys(kind).items() if key.declared.reload)


@frozen(kw_only=True)
class Documented:
    """A setting as manuals show it: `values` are the valid ones in words, `default` is TOML, None if there is none.

    `reload`: a running daemon applies a change.
    """

    name: str
    doc: str
    values: str
    default: str | None
    reload: bool


def documented(kind: type[Any]) -> tuple[Documented, ...]:
    """Returns every setting, in the order of the declarations."""
    defaults = {one.name: one.default for one in fields(kind)}
    return tuple(
        Documented(
            name=name,
            doc=key.declared.doc,
            values=key.values,
            default=_toml(defaults[name]),
            reload=key.declared.reload,
        )
        for name, key in _keys(kind).items()
    )


@frozen(kw_only=True)
class _Key:
    type: type[Any]
    optional: bool
    declared: _Declared

    def read(self, raw: object) -> Any:
        """Returns the value. Raises ValueError with a message that continues after the key."""
        if self.optional and raw == "":
            return None
        value = _typed(self.type, raw)
        if value is None:
            raise ValueError(f"must be {_NAMES[self.type]}{self._not(raw)}")
        self._check(value, raw)
        return value

    def _check(self, value: Any, raw: object) -> None:
        declared = self.declared
        if declared.choices and value not in declared.choices:
            raise ValueError(f"must be one of {', '.join(declared.choices)}{self._not(raw)}")
        low, high = declared.at_least, declared.at_most
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"must be {_range(low, high)}{self._not(raw)}")

    @property
    def values(self) -> str:
        declared = self.declared
        if declared.choices:
            return f"one of {', '.join(declared.choices)}"
        limited = declared.at_least is not None or declared.at_most is not None
        limits = f" {_range(declared.at_least, declared.at_most)}" if limited else ""
        return f"{_NAMES[self.type]}{limits}"

    def _not(self, raw: object) -> str:
        return "" if self.declared.secret else f", not {raw!r}"


_NAMES: Mapping[type[Any], str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    tuple: "a list of texts",
}


def _keys(kind: type[Any]) -> dict[str, _Key]:
    hints = get_type_hints(kind)
    declared: Iterable[Attribute[Any]] = fields(kind)
    return {one.name: _key(hints[one.name], one.metadata["setting"]) for one in declared}


def _key(hint: Any, declared: _Declared) -> _Key:
    if get_origin(hint) is tuple:
        return _Key(type=tuple, optional=False, declared=declared)
    arms = get_args(hint) or (hint,)
    (of,) = [arm for arm in arms if arm is not NoneType]
    return _Key(type=of, optional=NoneType in arms, declared=declared)


def _typed(of: type[Any], raw: object) -> Any:
    """Converts `raw`, text or a TOML value, to the type `of`; returns None if it is invalid."""
    if of is bool:
        return _flag(raw)
    if of is tuple:
        return _items(raw)
    if isinstance(raw, bool):
        return None  # a bool is an int in Python
    if of in {int, float}:
        return _number(of, raw)
    if not isinstance(raw, str) or (of is Path and not raw):
        return None
    return Path(raw).expanduser() if of is Path else raw


def _flag(raw: object) -> bool | None:
    if isinstance(raw, str):
        return True if raw.lower() in _TRUE else False if raw.lower() in _FALSE else None
    return raw if isinstance(raw, bool) else None


def _items(raw: object) -> tuple[str, ...] | None:
    if isinstance(raw, str):
        return tuple(item.strip() for item in raw.split(",") if item.strip())
    if isinstance(raw, list) and all(isinstance(item, str) for item in raw):
        return tuple(raw)
    return None


def _number(of: type[Any], raw: object) -> Any:
    if not isinstance(raw, str | int | float) or (of is int and isinstance(raw, float)):
        return None
    try:
        value = of(raw)
    except (ValueError, OverflowError):
        return None
    return value if abs(value) < float("inf") else None


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"between {low} and {high}"
    return f"at least {low}" if high is None else f"at most {high}"


def _toml(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(list(value) if isinstance(value, tuple) else str(value))


def _from_file(file: Path | None, keys: Collection[str], wrong: list[str]) -> tuple[str, dict[str, Any]]:
    if file is None:
        return "", {}
    try:
        given = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BadSettings(f"Cannot read {file}: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{file} is not TOML: {error}.") from error
    known = ", ".join(sorted(keys))
    wrong.extend(f"{file}: unknown key '{name}'; known are {known}." for name in sorted(given.keys() - set(keys)))
    return str(file), {name: value for name, value in given.items() if name in keys}


def _from_environment(
    environment: Mapping[str, str], keys: Collection[str], wrong: list[str]
) -> tuple[str, dict[str, Any]]:
    variables = {name: name.removeprefix(PREFIX).lower() for name in environment if name.startswith(PREFIX)}
    for name, key in sorted(variables.items()):
        if name != _variable(key) or (key not in keys and key not in _keys_of_all_programs()):
            known = ", ".join(sorted(_variable(one) for one in keys))
            wrong.append(f"environment: unknown variable {name}; known here are {known}.")
    given = {key: environment[name] for name, key in variables.items() if key in keys and name == _variable(key)}
    return "environment", given


@cache
def _keys_of_all_programs() -> frozenset[str]:
    """Returns every key of the installed programs: they can share one environment."""
    kinds = [one.load() for one in entry_points(group="innkeeper.settings")]
    return _WITHOUT_SETTING | {one.name for kind in kinds for one in fields(kind)}


def _variable(key: str) -> str:
    return f"{PREFIX}{key.upper()}"


def _shown(source: str, name: str) -> str:
    return _variable(name) if source == "environment" else name
