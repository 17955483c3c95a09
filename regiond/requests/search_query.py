"""The language of searches in lists: `pool:staging -tag:gpu cores:>=4 "two words"`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

from attrs import evolve, field, frozen

from common.errors import InvalidRequest
from regiond.requests.search_numbers import COUNT, Ranges, Unit, parse_number, ranges_of
from regiond.requests.validation_messages import no_object, shown

MAX_LENGTH = 500
MAX_TERMS = 40
MAX_WORDS = 10  # each is searched in every table
NOTHING = ""  # the value of a field that an object lacks: `owner:none`
_NONE = "none"
_MAX_PROBLEMS = 3
_MAX_CHOICES = 20
_FIELD = re.compile(r"[a-z][a-z_]{0,30}", re.ASCII | re.IGNORECASE)
_ADDRESS = re.compile(r"[0-9a-f]*:[0-9a-f:.]*(/[0-9]*)?", re.ASCII | re.IGNORECASE)


class Kind(StrEnum):
    """The kind of the values of a field."""

    CHOICE = "choice"  # one of the field's `choices`
    NAME = "name"  # the name of an object that exists, with `*` for any characters
    TEXT = "text"  # a part of a text
    NUMBER = "number"  # a number, a comparison or a range


@frozen(kw_only=True)
class SearchField:
    """A field of a query. An object may lack it if `may_lack`; it may have several values at once if `has_many`.

    `choices` are the words of a CHOICE, each with the values that it stands for. With `may_come` names come and go with
    the objects that have them, so an excluded one need not exist.
    """

    name: str
    kind: Kind
    doc: str
    example: str
    choices: Mapping[str, tuple[str, ...]] = field(factory=dict)
    unit: Unit = COUNT
    may_lack: bool = False
    has_many: bool = False
    may_come: bool = False


@frozen(kw_only=True)
class Token:
    """One term as it was typed. `quoted`: the value is taken as it is. `name` is empty for a free word."""

    name: str = ""
    value: str = ""
    negated: bool = False
    quoted: bool = False


@frozen(kw_only=True)
class SearchQuery:
    """A query that was read. All its parts apply.

    An object has all `words` and none of `not_words` somewhere. By field: one of the `wanted` values, `every` one of
    these, none of `excluded`; a number in `numbers`.
    """

    words: tuple[str, ...] = ()
    not_words: tuple[str, ...] = ()
    wanted: Mapping[str, tuple[str, ...]] = field(factory=dict)
    every: Mapping[str, tuple[str, ...]] = field(factory=dict)
    excluded: Mapping[str, tuple[str, ...]] = field(factory=dict)
    numbers: Mapping[str, Ranges] = field(factory=dict)

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields that it uses."""
        return frozenset({*self.wanted, *self.every, *self.excluded, *self.numbers})


Fields = Mapping[str, SearchField]


def fields_by_name(fields: Iterable[SearchField]) -> Fields:
    return {one.name: one for one in fields}


def term(name: str, value: str) -> str:
    """Returns the text that searches for this value of a field, or for a free text if `name` is empty."""
    is_plain = bool(name and value) and value.lower() != _NONE and not re.search(r'[\s"\\+]', value)
    quoted = value if is_plain else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name}:{quoted}" if name else quoted


def tokens(text: str, fields: Fields) -> tuple[Token, ...]:
    """Returns the terms. A quotation mark that is missing at the end is added: somebody may still be typing."""
    return tuple(_token(raw, fields) for raw in _split(text) if raw not in {"-", ""})


def _split(text: str) -> list[str]:
    """Returns the parts between blanks that are outside of quotation marks."""
    parts, part, inside, escaped = [], "", False, False
    for character in text:
        if escaped:
            part, escaped = part + character, False
        elif inside and character == "\\":
            part, escaped = part + character, True
        elif character.isspace() and not inside:
            parts.append(part)
            part = ""
        else:
            inside ^= character == '"'
            part += character
    return [*parts, part]


def _token(raw: str, fields: Fields) -> Token:
    negated = raw.startswith("-")
    rest = raw[1:] if negated else raw
    name, colon, value = rest.partition(":")
    is_field = colon and _FIELD.fullmatch(name) and (name.lower() in fields or not _ADDRESS.fullmatch(rest))
    if not is_field:
        return Token(value=_unquoted(rest), negated=negated, quoted=True)
    return Token(name=name.lower(), value=_unquoted(value), negated=negated, quoted=value.startswith('"'))


def _unquoted(text: str) -> str:
    """Returns the text without quotation marks, and what they protect as it is."""
    result, inside, escaped = "", False, False
    for character in text:
        if escaped:
            result, escaped = result + character, False
        elif inside and character == "\\":
            escaped = True
        elif character == '"':
            inside = not inside
        else:
            result += character
    return result


def parse(text: str, fields: Fields) -> SearchQuery:
    """Returns the query; names are not looked up yet: `resolved` does it. Raises InvalidRequest for the field `q`."""
    if len(text) > MAX_LENGTH:
        raise InvalidRequest.of({"q": [f"A search has at most {MAX_LENGTH} characters; this one has {len(text)}."]})
    found = tokens(text.replace("\0", ""), fields)
    if len(found) > MAX_TERMS:
        raise InvalidRequest.of({"q": [f"A search has at most {MAX_TERMS} terms; this one has {len(found)}."]})
    problems = [problem for one in found if one.name and (problem := _problem(one, fields))]
    if problems:
        raise InvalidRequest.of({"q": list(dict.fromkeys(problems))[:_MAX_PROBLEMS]})
    words = [one for one in found if not one.name and one.value]
    if len(words) > MAX_WORDS:
        message = f"A search has at most {MAX_WORDS} words without a field; this one has {len(words)}."
        raise InvalidRequest.of({"q": [f"{message} Put words that belong together in quotation marks."]})
    wanted, every, excluded = dict[str, list[str]](), dict[str, list[str]](), dict[str, list[str]]()
    numbers = dict[str, list[Token]]()
    for one in found:
        if not one.name:
            continue
        if fields[one.name].kind is Kind.NUMBER:
            numbers.setdefault(one.name, []).append(one)
            continue
        values = _values(one, fields[one.name])
        if one.negated:
            excluded.setdefault(one.name, []).extend(values)
        elif len(values) > 1 and fields[one.name].has_many:
            every.setdefault(one.name, []).extend(values)
        else:
            wanted.setdefault(one.name, []).extend(values)
    return SearchQuery(
        words=tuple(one.value for one in words if not one.negated),
        not_words=tuple(one.value for one in words if one.negated),
        wanted=_once(wanted),
        every=_once(every),
        excluded=_once(excluded),
        numbers={name: _ranges(given, fields[name]) for name, given in numbers.items()},
    )


def _once(values: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(dict.fromkeys(some)) for name, some in values.items()}


def _ranges(given: Iterable[Token], of: SearchField) -> Ranges:
    read = [(parse_number(one.value, of.unit), one.negated) for one in given]
    return ranges_of((number, negated) for number, negated in read if number is not None)


def _values(one: Token, of: SearchField) -> tuple[str, ...]:
    """The values that a term stands for: of a CHOICE those of its word, of `a+b` both."""
    if of.kind is Kind.CHOICE:
        return of.choices[_plain(one.value)]
    if of.may_lack and not one.quoted and one.value.lower() == _NONE:
        return (NOTHING,)
    parts = one.value.split("+") if of.has_many and not one.quoted else [one.value]
    return tuple(part for part in parts if part)


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]+", "_", word.strip().lower())


def _problem(one: Token, fields: Fields) -> str | None:
    """Returns why the term cannot be used; None if it can."""
    of = fields.get(one.name)
    if of is None:
        known = ", ".join(fields)
        text = term("", f"{one.name}:{one.value}"[:60])
        return f"There is no field {one.name}; there are {known}. To search for the text, write {text}."
    if not one.value.strip("+ "):
        return f"{one.name}: needs a value{_choices_of(of)}, as in {of.example}."
    if of.kind is Kind.CHOICE and _plain(one.value) not in of.choices:
        return f"{one.name}: {shown(one.value)} is not one of {', '.join(of.choices)}."
    if of.kind is Kind.NUMBER and parse_number(one.value, of.unit) is None:
        return f"{one.name}: {shown(one.value)} is not a number{of.unit.described}, as in {of.example}."
    return None


def _choices_of(of: SearchField) -> str:
    return f", one of {', '.join(of.choices)}" if of.choices else ""


def resolved(query: SearchQuery, fields: Fields, known: Mapping[str, Sequence[str]]) -> SearchQuery:
    """Returns the query with the names as they are written; `known` has those that exist, by field.

    Raises InvalidRequest for the field `q` if a name does not exist, with those that do.
    """
    problems: list[str] = []

    def names(of: SearchField, values: Iterable[str], *, required: bool = True) -> tuple[str, ...]:
        found: list[str] = []
        for value in values:
            same = [NOTHING] if value == NOTHING else _matching(value, known[of.name])
            if not same and required:
                problems.append(f"{of.name}: {_missing(of, value, known[of.name])}")
            found += same
        return tuple(dict.fromkeys(found))

    def checked(
        values: Mapping[str, tuple[str, ...]], required: Callable[[SearchField], bool]
    ) -> dict[str, tuple[str, ...]]:
        return {
            name: names(fields[name], some, required=required(fields[name])) if name in known else some
            for name, some in values.items()
        }

    found = evolve(
        query,
        wanted=checked(query.wanted, lambda _: True),
        every=checked(query.every, lambda _: True),
        excluded=checked(query.excluded, lambda of: not of.may_come),
    )
    if problems:
        raise InvalidRequest.of({"q": list(dict.fromkeys(problems))[:_MAX_PROBLEMS]})
    return found


def names_used(query: SearchQuery, fields: Fields) -> frozenset[str]:
    """Returns the fields of the query whose values are names, which `resolved` needs to know."""
    return frozenset(name for name in query.fields if fields[name].kind is Kind.NAME)


def _matching(value: str, known: Iterable[str]) -> list[str]:
    """The names that equal the value in any case: only the one that is the same if there is one."""
    names = list(known)
    if value in names:
        return [value]
    parts = value.lower().split("*")
    return [name for name in names if _has_parts(name.lower(), parts)]


def _has_parts(text: str, parts: Sequence[str]) -> bool:
    """Whether the text consists of these parts, with anything between them. Takes time in proportion to its length."""
    first, *others = parts
    if not others:
        return text == first
    *middle, last = others
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        position = text.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


def _missing(of: SearchField, value: str, known: Sequence[str]) -> str:
    if not known:
        return f"there is none, so not {shown(value)} either."
    return no_object(of.name, value, known if len(known) <= _MAX_CHOICES else (), near=known)


def has_value(query: SearchQuery, name: str, values: Iterable[str]) -> bool:
    """Whether an object with these values of a field, or with none, is one that the query is for."""
    own = tuple(values) or (NOTHING,)
    wanted = query.wanted.get(name)
    return (
        (wanted is None or any(value in wanted for value in own))
        and all(value in own for value in query.every.get(name, ()))
        and not any(value in own for value in query.excluded.get(name, ()))
    )


def has_part(query: SearchQuery, name: str, texts: Iterable[str]) -> bool:
    """As `has_value`, for a field of which a part of the text is enough, in any case."""
    own = [text.lower() for text in texts]
    wanted = query.wanted.get(name)
    return (wanted is None or _any_part(wanted, own)) and not _any_part(query.excluded.get(name, ()), own)


def has_words(query: SearchQuery, texts: Iterable[str]) -> bool:
    """Whether all words are in one of the texts, in any case, and no excluded one is."""
    own = [text.lower() for text in texts]
    return all(_any_part((word,), own) for word in query.words) and not _any_part(query.not_words, own)


def _any_part(parts: Iterable[str], texts: Sequence[str]) -> bool:
    return any(part.lower() in text for part in parts for text in texts)
